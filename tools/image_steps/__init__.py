"""`make image-steps`: the Dockerfile's steps without an engine, in a Debian of its own, and a run of what they make.

The base is Debian's own, by debootstrap, with Debian's Python, in place of the image that the Dockerfile names. Each
`RUN` is run there by chroot in mounts of its own, each `COPY` is made from what the engine would be sent. What they
make then runs as the engine would run it: as the image's user and the first process, without any capability, on a
root that can't be written to, with a volume.
"""
