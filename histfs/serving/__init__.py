"""The tree by HTTP and WebDAV: `histfs serve`. No module but `dav` and `server` needs the extra."""
