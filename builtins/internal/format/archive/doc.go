// Package archive opens backup archives completely: it proves that an archive
// can be read to its end, and gets disks or trees out of it.
//
// What a file is, its name says: [vma, tar or nothing][.zst or .gz], so
// vzdump-qemu-100-….vma.zst, vzdump-lxc-101-….tar.zst, x.tgz, disk.raw.gz. The
// bytes have to agree with the name. Archives packed with lzo or bz2 are
// known by name and cannot be opened: ErrUnsupported.
//
// The rule of the package: an archive is whole and unambiguous, or it is
// refused. Other readers are more lenient in places where a backup must not be:
//
//   - zstd: every frame has to carry its checksum and to be complete, and
//     nothing but frames may follow. A scanner of ours follows the frames in
//     front of the decoder, since the decoder takes one to three stray bytes at
//     the end for an end. Windows above 128 MiB are unsupported.
//   - gzip: checksums, several members, nothing behind them.
//   - vma: as package vma demands, above all no cluster missing.
//   - tar: every entry to its end, then two zero blocks (archive/tar takes the
//     end of the file for them), then nothing but zeros. What may be lost
//     unseen is that zero padding.
//   - vzdump: the guest's configuration has to be inside.
//
// What Check accepts by name and kind, ExtractTree takes too: entries with an
// absolute name or with ".." are refused by both, a hard link to itself is taken by
// both (vzdump writes two into the archive of a container that it suspended). Links are judged when a tree
// is extracted, where os.Root keeps everything below one directory.
//
// Memory is bounded whatever the archive claims or expands to: everything
// streams; a zstd window of at most 128 MiB, 256 KiB of input, and what package
// vma states. Archives are counted in clear bytes by a 64-bit number.
//
// zstd and gzip come from klauspost/compress, the decoder running in the
// caller's goroutine: with its own goroutines it was slower and dearer. The
// tar format is read by archive/tar, which knows the PAX, GNU and sparse
// dialects and bounds their headers at 1 MiB.
//
// A context is looked at before every read of the source and of the clear
// stream. A source that can block (a network, a pipe) has to end with the
// context by itself.
package archive
