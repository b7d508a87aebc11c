(function(){
var a=document.getElementById("next"),k="ostiary "+a.dataset.attempt,h="";
try{
if(a.dataset.step==="out"){if(location.hash.length>1)sessionStorage.setItem(k,location.hash)}
else{h=sessionStorage.getItem(k)||"";sessionStorage.removeItem(k)}
}catch(e){}
location.replace(a.getAttribute("href")+h);
})();
