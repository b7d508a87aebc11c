// What anybody can see is wrong with a page: a list of sentences, empty when nothing is. Called as a function.
() => {
  const wrong = [];
  const say = (text, element) => wrong.push(element ? `${text}: ${element.outerHTML.slice(0, 120)}` : text);
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });

  // Structure
  if (!document.documentElement.lang) say('no lang');
  if (!document.title.trim()) say('no title');
  for (const [name, selector] of [['main', 'main'], ['h1', 'h1']]) {
    const count = document.querySelectorAll(selector).length;
    if (count !== 1) say(`${count} elements ${name}, one is wanted`);
  }
  if (!document.querySelector('meta[name=viewport]')) say('no viewport');
  let level = 0;
  for (const heading of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) {
    if (+heading.tagName[1] > level + 1) say('a heading skips a level', heading);
    level = +heading.tagName[1];
    if (!heading.textContent.trim()) say('an empty heading', heading);
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) say(`the id ${id} is there twice`);
  for (const element of document.querySelectorAll('[aria-labelledby],[aria-describedby],[aria-controls],label[for]')) {
    for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for']) {
      for (const id of (element.getAttribute(name) || '').split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) say(`${name} names ${id}, which is not there`, element);
      }
    }
  }
  // Text belongs to a landmark
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(element)) continue;
    if (['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue;
    texts.push(element);
    if (!element.closest('main,header,footer,nav,aside,.skip')) say('text outside every landmark', element);
  }

  // Names
  for (const field of document.querySelectorAll('input:not([type=hidden]),select,textarea')) {
    if (!field.labels.length && !field.getAttribute('aria-label')) say('a field without label', field);
  }
  for (const element of document.querySelectorAll('a,button')) {
    if (shown(element) && !(element.getAttribute('aria-label') || element.textContent).trim()) say('no name', element);
  }
  for (const image of document.querySelectorAll('img')) if (!image.hasAttribute('alt')) say('no alt', image);
  for (const image of document.querySelectorAll('svg')) {
    if (!image.hasAttribute('aria-hidden') && !image.hasAttribute('aria-label')) say('a drawing without name', image);
  }
  for (const element of document.querySelectorAll('[tabindex]')) if (element.tabIndex > 0) say('tabindex above 0', element);

  // Contrast (WCAG 2.2, 1.4.3), held to 4.5 for large text too
  const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
  };
  const legible = (element, colour, what) => {
    const back = behind(element);
    const found = ratio(over(rgba(colour), back), back);
    if (found < 4.5) say(`${what} with a contrast of ${found.toFixed(2)}`, element);
  };
  for (const element of new Set(texts)) legible(element, getComputedStyle(element).color, 'text');
  for (const field of document.querySelectorAll('input[placeholder]')) {
    if (shown(field)) legible(field, getComputedStyle(field, '::placeholder').color, 'a placeholder');
  }
  return wrong;
}
