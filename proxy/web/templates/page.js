(function(){
var d=document,h=location.hash,f=d.querySelector("[data-attempt]");
try{if(f)h=sessionStorage.getItem("ostiary "+f.dataset.attempt)||h}catch(e){}
if(h.length>1)d.querySelectorAll("[data-carry]").forEach(function(a){
if(a.tagName==="FORM")a.action=a.getAttribute("action")+h;else{a.href=a.getAttribute("href")+h;
if(a.href===location.href)a.addEventListener("click",function(e){e.preventDefault();location.reload()})}});
var b=d.querySelector("[data-copy]");
if(b&&navigator.clipboard){var t=b.textContent;b.hidden=false;b.addEventListener("click",function(){
navigator.clipboard.writeText(d.getElementById(b.dataset.copy).textContent.trim()).then(function(){
b.textContent=b.dataset.done;d.getElementById("copied").textContent="Reference copied";
setTimeout(function(){b.textContent=t;d.getElementById("copied").textContent=""},2500)})})}
})();
