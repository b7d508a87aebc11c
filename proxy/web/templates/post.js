(function(){
var f=document.getElementById("next");
try{if(f.dataset.step==="out"&&location.hash.length>1)sessionStorage.setItem("ostiary "+f.dataset.attempt,location.hash)}catch(e){}
f.submit();
})();
