// No handler.
module.exports = { handle: 1 };
