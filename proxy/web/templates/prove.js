(function(){
var d=document,p=d.getElementById("prove"),s=p.dataset;
var stop=function(text,why){d.getElementById("help").hidden=false;var b=d.getElementById("problem");
b.textContent=text+(why?" ("+why+")":"");b.hidden=false;d.getElementById("state").textContent="This device did not show itself."};
var post=function(url,body,more){var o={method:"POST",headers:{"Content-Type":"application/json",Accept:"application/json"},body:JSON.stringify(body),cache:"no-store"};
Object.keys(more).forEach(function(k){o[k]=more[k]});return fetch(url,o)};
var ask=function(){
var c=new AbortController(),t=setTimeout(function(){c.abort()},20000);
post(s.agent,{challenge:s.challenge,aud:s.aud},{mode:"cors",credentials:"omit",signal:c.signal,targetAddressSpace:"loopback"}).then(function(r){
clearTimeout(t);
return r.json().then(function(a){if(!r.ok||!a.jws)throw new Error(a.error||a.detail||"status "+r.status);return a.jws})},
function(){clearTimeout(t);stop("No agent answered on this device.");return null}).then(function(jws){
if(!jws)return null;
return post(s.post,{jws:jws,next:s.next},{credentials:"same-origin"}).then(function(r){return r.json().then(function(a){
if(!r.ok)throw new Error(a.detail||a.error||"status "+r.status);location.replace(a.next)})})}).catch(function(e){
stop("The agent answered, but that was not accepted.",e.message)})};
if(!("again" in s))ask();
})();
