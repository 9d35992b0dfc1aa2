// The theme lets wide tables be scrolled, by those who have a pointer; this lets keys reach them too.
const reach = () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) table.tabIndex = 0;
};
new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
reach();
