(function(){
var d=document;
d.querySelectorAll("time").forEach(function(t){var m=new Date(t.dateTime);if(!isNaN(m)){t.title=t.textContent;
t.textContent=m.toLocaleString(undefined,{dateStyle:"medium",timeStyle:"short"})}});
var q=d.getElementById("find"),l=Array.prototype.slice.call(d.querySelectorAll(".apps>li")),n=d.getElementById("count"),e=d.getElementById("nothing");
var shown=function(){return l.filter(function(x){return!x.hidden})};
if(q){
d.getElementById("finder").hidden=false;
var filter=function(){var w=q.value.toLowerCase().split(/\s+/).filter(Boolean);
l.forEach(function(x){var s=x.textContent.toLowerCase();x.hidden=!w.every(function(y){return s.indexOf(y)>=0})});
var c=shown().length;e.hidden=c>0;n.textContent=c===1?"1 app":c+" apps"};
q.addEventListener("input",filter);
q.addEventListener("keydown",function(v){var s=shown();
if(v.key==="Escape"){q.value="";filter()}
else if(v.key==="Enter"&&s.length){v.preventDefault();s[0].querySelector("a").click()}
else if(v.key==="ArrowDown"&&s.length){v.preventDefault();s[0].querySelector("a").focus()}});
if(q.value)filter();
}
d.addEventListener("keydown",function(v){
if(q&&v.key==="/"&&d.activeElement!==q&&!v.ctrlKey&&!v.metaKey&&!v.altKey){v.preventDefault();q.focus();q.select();return}
var i=l.findIndex(function(x){return x.contains(d.activeElement)});if(i<0)return;
var s=shown(),k=s.indexOf(l[i]),m={ArrowRight:1,ArrowDown:1,ArrowLeft:-1,ArrowUp:-1}[v.key];
if(!m)return;v.preventDefault();
if(k+m<0){if(q)q.focus()}else if(s[k+m])s[k+m].querySelector("a").focus()});
})();
