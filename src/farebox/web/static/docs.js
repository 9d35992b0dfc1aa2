// Starts swagger-ui. It asks no other server to judge the document, and keeps no key once the page is closed.
const dark = matchMedia("(prefers-color-scheme: dark)")
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches)
dark.addEventListener("change", follow)
follow()

// What keeps people from using swagger-ui with a keyboard or a screen reader. A heading of an operation is a button, and
// opening it names it in the address bar: a link within it does nothing more. A choice of examples, a body and a cross have no name.
const forEverybody = {
  wrapComponents: {
    OperationSummaryPath: (Original, { React }) => ({ operationProps, ...others }) =>
      React.createElement(Original, { ...others, operationProps: operationProps.set("isDeepLinkingEnabled", false) }),
    ExamplesSelect: (Original, { React }) => props =>
      React.createElement("label", null, React.createElement(Original, { ...props, showLabels: true })),
    TextArea: (Original, { React }) => props => React.createElement(Original, { "aria-label": "Request body", ...props }),
    CloseIcon: (Original, { React }) => props =>
      React.createElement(Original, { ...props, role: "img", "aria-hidden": false, "aria-label": "Close" }),
  },
}

window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [forEverybody],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
})
