(function(){
var d=document,k="ostiary form "+d.getElementById("resume").dataset.id,v=null;
var stop=function(t){d.getElementById("title").textContent="Your form was not sent";
d.getElementById("said").textContent=t;d.getElementById("acts").hidden=false};
try{v=sessionStorage.getItem(k)}catch(e){}
if(!v)return stop("This tab keeps no form. It may have been sent already.");
var bytes=function(t){t=atob(t);var b=new Uint8Array(t.length);for(var i=0;i<t.length;i++)b[i]=t.charCodeAt(i);return b};
fetch(location.pathname,{method:"POST",body:v,headers:{"Content-Type":"text/plain"},redirect:"error"}).then(function(r){
if(r.status<500)try{sessionStorage.removeItem(k)}catch(e){}
return r.json().then(function(j){
if(!r.ok)return stop(j.detail||j.remedy||j.error);
var f=d.createElement("form");
f.method="post";f.action=j.target;f.enctype=j.type;f.acceptCharset=j.charset;
f.addEventListener("formdata",function(e){j.fields.forEach(function(x){
if(x.filename===undefined)e.formData.append(x.name,x.value||"");
else e.formData.append(x.name,new File([bytes(x.data||"")],x.filename,{type:x.type||""}),x.filename)})});
d.body.appendChild(f);HTMLFormElement.prototype.submit.call(f)})}).catch(function(){stop("It could not be asked for, and is still kept in this tab. Check your connection, then reload this page.")});
})();
