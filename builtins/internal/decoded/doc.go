// Package decoded keeps the archive of a guest as what is in it, so that a store that
// deduplicates finds what did not change: each disk of a virtual machine as a raw image with its
// configuration and firewall files beside it, a container as its tar. The archive
// comes out again, made on the fly, for qmrestore and pct restore.
//
// What vzdump makes hides that: its compression, and the order in which a running machine's
// clusters come, change every night.
//
// The compressed bytes do not come out again, so an archive's own digest proves nothing of
// such a copy. What does is the digest of each part, taken in the pass that decoded the archive and
// found it whole; reading a part back compares it, and making the archive does, too: an archive whose
// last byte came is of those disks.
//
// Not all can be decoded: what runner cannot unpack (lzo), a state of memory beside the disks, an archive of which more is out
// of order than the spool takes. target.ErrAsItIs says so, and why; such an archive is then kept as it is.
package decoded
