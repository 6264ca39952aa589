// Starts Swagger UI. A file of its own, because the page's policy allows no inline scripts.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  tryItOutEnabled: false,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
});
