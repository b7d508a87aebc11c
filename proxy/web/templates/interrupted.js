(function(){
var d=document,k=d.getElementById("kept"),a=d.getElementById("next"),often=false;
if(!k)return;
try{
sessionStorage.setItem("ostiary form "+k.dataset.id,k.dataset.sealed);
var c=JSON.parse(sessionStorage.getItem("ostiary forms")||"[]").filter(function(t){return Date.now()-t<60000});
often=c.length>2;c.push(Date.now());sessionStorage.setItem("ostiary forms",JSON.stringify(c));
}catch(e){d.getElementById("lost").hidden=false;return}
a.href=a.dataset.kept;d.getElementById("good").hidden=false;
if(!often)location.replace(a.href);
})();
