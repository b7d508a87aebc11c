(function(){
var d=document,bad=d.getElementById("problem"),f=d.getElementById("passkey");
d.querySelectorAll("[data-tab]").forEach(function(x){
try{if(location.hash.length>1)sessionStorage.setItem("ostiary "+x.dataset.tab,location.hash)}catch(e){}});
if(!f)return;
var say=function(t){bad.textContent=t;bad.hidden=!t};
var bytes=function(t){t=atob(t.replace(/-/g,"+").replace(/_/g,"/"));
return Uint8Array.from(t,function(c){return c.charCodeAt(0)})};
var text=function(b){return b?btoa(String.fromCharCode.apply(null,new Uint8Array(b))).replace(/\+/g,"-").replace(/\//g,"_").replace(/=+$/,""):undefined};
var ids=function(l){return(l||[]).map(function(x){return Object.assign({},x,{id:bytes(x.id)})})};
if(!window.PublicKeyCredential){f.querySelector("button").disabled=true;
if(f.dataset.credential==="create")say("This browser cannot make passkeys.");return}
var create=f.dataset.credential==="create",b=f.querySelector("button");
f.addEventListener("submit",function(e){
e.preventDefault();say("");b.disabled=true;
var o=JSON.parse(f.dataset.options);o.challenge=bytes(o.challenge);
if(create){o.user.id=bytes(o.user.id);o.excludeCredentials=ids(o.excludeCredentials)}
else o.allowCredentials=ids(o.allowCredentials);
navigator.credentials[create?"create":"get"]({publicKey:o}).then(function(c){
var r=c.response,a={clientDataJSON:text(r.clientDataJSON)};
if(create)a.attestationObject=text(r.attestationObject);
else{a.authenticatorData=text(r.authenticatorData);a.signature=text(r.signature);a.userHandle=text(r.userHandle)}
f.elements.answer.value=JSON.stringify({id:c.id,rawId:text(c.rawId),type:c.type,response:a,clientExtensionResults:{}});
f.submit()}).catch(function(x){b.disabled=false;
say(x.name==="InvalidStateError"?"This passkey is added already.":
x.name==="NotAllowedError"?"That was cancelled, or took too long. Try again"+(create?".":", or use another way."):
"The browser could not do that ("+x.name+").")})});
if(!create)b.focus();
})();
