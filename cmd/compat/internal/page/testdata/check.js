// Runs in a copy of a page, and tells the page around it what a reader would
// stumble over: text over text, text that is cut off, text too pale, and what
// the page asks the network for.
(() => {
  const faults = [];
  const say = (what, el) => faults.push(what + ': ' + (el.textContent || el.tagName).trim().slice(0, 60));
  addEventListener('error', e => faults.push('error: ' + (e.message || e.target.tagName)), true);
  addEventListener('securitypolicyviolation', e => faults.push('asks for ' + e.blockedURI));

  // WCAG 2.2, relative luminance and contrast ratio
  const parts = css => css.match(/[\d.]+/g).map(Number);
  const luminance = css => {
    const [r, g, b] = parts(css).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + .05) / (y + .05);
  };
  const visible = css => css !== 'none' && css !== 'transparent' && parts(css)[3] !== 0;
  const legible = (el, ink, ground) => {
    if (contrast(ink, ground) < 4.5) say('contrast ' + contrast(ink, ground).toFixed(2) + ' of ' + ink + ' on ' + ground, el);
  };

  // boxes of texts, of which none may lie over another
  const overlaps = boxes => {
    boxes.sort((a, b) => a.y0 - b.y0);
    boxes.forEach((a, i) => {
      for (let k = i + 1; k < boxes.length && boxes[k].y0 < a.y1; k++) {
        const b = boxes[k];
        if (a.x0 < b.x1 && b.x0 < a.x1) say('over ' + b.el.textContent.trim().slice(0, 40), a.el);
      }
    });
  };
  const box = (el, r) => ({el, x0: r.left + 1, x1: r.right - 1, y0: r.top + 1.5, y1: r.bottom - 1.5});

  const picture = svg => {
    const frame = svg.getBoundingClientRect(), boxes = [], grounds = [];
    for (const el of svg.querySelectorAll('path, text')) {
      const r = el.getBoundingClientRect(), style = getComputedStyle(el);
      if (el.tagName === 'path') {
        if (visible(style.fill)) grounds.push({r, fill: style.fill});
        continue;
      }
      boxes.push(box(el, r));
      if (r.left < frame.left || r.right > frame.right || r.top < frame.top || r.bottom > frame.bottom) say('outside its picture', el);
      const x = (r.left + r.right) / 2, y = (r.top + r.bottom) / 2;
      const under = grounds.findLast(g => g.r.left <= x && x <= g.r.right && g.r.top <= y && y <= g.r.bottom);
      if (under) legible(el, style.fill, under.fill); else say('on no ground', el);
    }
    overlaps(boxes);
    return boxes.length;
  };

  const prose = () => {
    const width = document.documentElement.clientWidth, boxes = [];
    if (document.documentElement.scrollWidth > width) faults.push('the page is wider than the window');
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walk.nextNode());) {
      const el = node.parentElement;
      if (!node.data.trim() || el.closest('svg, style, script')) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const r of range.getClientRects()) {
        if (r.width === 0) continue;
        boxes.push(box(el, r));
        if (!el.closest('.scroll') && (r.left < 0 || r.right > width)) say('outside the window', el);
        const cell = el.closest('td, th');
        if (cell && r.right > cell.getBoundingClientRect().right + .5) say('out of its cell', el);
      }
      let ground = el;
      while (ground && !visible(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
      legible(el, getComputedStyle(el).color, ground ? getComputedStyle(ground).backgroundColor : 'rgb(255, 255, 255)');
    }
    overlaps(boxes);
    return boxes.length;
  };

  addEventListener('load', () => {
    document.querySelectorAll('details').forEach(d => { d.open = true; });
    document.querySelectorAll('.scroll').forEach(d => { d.style.maxHeight = 'none'; }); // what is scrolled away is over nothing
    let texts = prose();
    document.querySelectorAll('svg').forEach(svg => { texts += picture(svg); });
    for (const e of performance.getEntriesByType('resource')) faults.push('fetched ' + e.name);
    parent.postMessage({
      name: location.pathname.replace(/.*\//, ''), texts, faults: faults.slice(0, 30),
      scripts: document.scripts.length, dark: matchMedia('(prefers-color-scheme: dark)').matches,
    }, '*');
  });
})();
