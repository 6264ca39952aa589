/**
 * All views, in the order of the navigation. Of a view `now`, `views/now/now.js` exports the component as its default, and
 * `views/now/now.css` is loaded with it. Keys without the scope `admin` see those views that are not for admins only.
 */

/** @typedef {{ id: string, title: string, admin: boolean }} View */

/** @type {View[]} */
export const views = [
  { id: "now", title: "Now", admin: true },
  { id: "playground", title: "Playground", admin: false },
  { id: "models", title: "Models", admin: true },
  { id: "jobs", title: "Jobs", admin: true },
  { id: "requests", title: "Requests", admin: true },
  { id: "logs", title: "Logs", admin: true },
  { id: "keys", title: "Keys", admin: true },
  { id: "configuration", title: "Configuration", admin: true },
];
