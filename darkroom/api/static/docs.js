import { at } from "./root.js";

window.SwaggerUIBundle({ url: at("/openapi.json"), dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
