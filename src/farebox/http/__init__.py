"""HTTP/1.1 between sockets and the application, on the event loop's own thread; the parser is llhttp, by httptools."""
