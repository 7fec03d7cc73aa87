"use strict";
(function () {
  var bubble = document.createElement("div");
  bubble.className = "bubble";
  bubble.hidden = true;
  document.body.appendChild(bubble);
  function hide() { bubble.hidden = true; }
  function show(event) {
    var at = event.target;
    if (!at.classList || !at.classList.contains("hit")) { hide(); return; }
    var title = at.querySelector("title");
    if (title) {
      at.dataset.words = title.textContent;
      title.remove();
    }
    bubble.textContent = at.dataset.words || "";
    bubble.hidden = !bubble.textContent;
    var box = bubble.getBoundingClientRect();
    var left = Math.min(event.clientX + 14, window.innerWidth - box.width - 12);
    var over = event.clientY - box.height - 14;
    bubble.style.left = Math.max(12, left) + "px";
    bubble.style.top = (over < 8 ? event.clientY + 18 : over) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("pointerleave", hide);
  window.addEventListener("scroll", hide, { passive: true });
})();
