// Package target keeps copies of artifacts in places: folders of disks
// (file://), SFTP servers (sftp://), and storages of the source itself (pve://).
//
// The rule of the package: a copy is visible when its manifest is there, the
// manifest is written last, and by then every byte has been written, flushed to
// the medium, and is known by its SHA-256. What lies on a target can be restored
// without runner: the source's own files or standard age files, SHA256SUMS,
// manifest.json, and a README.txt with the commands for that very copy.
//
// # Two layers
//
// Store is what a scheme of the table in scheme.go can do with named bytes. The
// layout above it is the same for all:
//
//	README.txt                        what this is and how to use it
//	runner-linux-<arch>, ….sha256     the program itself
//	checkpoint-<host>.txt             the ledger's head, as of the last run
//	<kind>/<item>/<time>-<artifact>/  one copy: files, SHA256SUMS, README.txt, manifest.json
//	.runner-parts/<copy id>/          a copy that is not complete
//
// A target of layout chunks has a repository in place of the folders of copies (package chunks); its sealed mirror on another target
// (mirror.go) has its blobs, each sealed once, and of each copy a manifest. What lies there is told in package mirror.
//
// Names come from systems that are not trusted, so safeName makes them: letters,
// digits, dot, dash and underscore; everything else is replaced and told apart by
// a digest.
//
// # One read feeds all
//
// Copy reads the source once, into 16 buffers of 1 MiB that all consumers share
// and count their use of. One consumer takes the digest of the clear bytes, one
// opens the clear stream where a sealed target is among the targets, and one
// writes each target. The slowest consumer sets the pace; one that fails drops
// out. Nothing becomes visible before the source has been read to its end, has
// the declared sizes and digests, and has been opened.
//
// Memory: the 16 MiB of buffers, and for each target at most 4 MiB between
// sealing and writing, and what the connection holds (OpenSSH's window is 2 MiB).
//
// # Resuming
//
// A transfer that broke leaves its bytes in .runner-parts. Plain files are
// compared with the source while it streams past, byte for byte, and are written
// on from the first difference: this finds the holes too that a broken SFTP
// connection leaves. For a sealed file that cannot work, since age draws a new
// key each time; each finished part of one is written down in progress.json with
// both digests and is not sent again when the source still has the same bytes
// there. That file has no more authority than the target it lies on: who can
// write the target can exchange a part, and level "read" would not notice. Level
// "opened" does, for it compares with the digest that the source's bytes had. The
// same holds for a manifest that a crash left without an entry in the ledger.
//
// # Where the facts come from
//
// Identity of a device: see SystemDevice. The measurements behind the numbers
// (1 MiB reads, writeback started and cache let go every 8 MiB, SFTP packets of
// 255000 bytes and never more, since OpenSSH then falls silent) were taken
// against OpenSSH 9.2 and ext4. Connections are those of package client/ssh, which
// watches over them. filippo.io/age seals.
//
// A target has one connection for all of its calls. pkg/sftp can end a call only
// by ending the connection, so cancelling one call fails those beside it with
// E_TARGET_DOWN; the next call connects again.
//
// Times come from Env.Now.
package target
