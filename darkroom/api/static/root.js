/** Where the page's own server begins: at the root of the host, or under a prefix. */

/**
 * The address of a path of the server's. Addresses that the server gives are whole already.
 * @param {string} path from its slash on
 */
export const at = (path) => (document.documentElement.dataset.root ?? "") + path;
