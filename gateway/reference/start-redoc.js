// Starts ReDoc. A file of its own, because the page's policy allows no inline scripts.
Redoc.init("openapi.json", { disableSearch: false, nativeScrollbars: true }, document.getElementById("page"));
