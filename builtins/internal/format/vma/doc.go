// Package vma reads and writes the Proxmox VMA archive format, version 1: the
// container in which vzdump stores the disks and the configuration of a
// virtual machine.
//
// An archive is a header (configuration files, list of devices) followed by
// extents; an extent is a 512-byte header that names up to 59 clusters of
// 64 KiB, followed by those 4 KiB blocks of them that are not zero. There is
// no index and no end mark, clusters of several devices are mixed and, in live
// backups, out of order.
//
// The rule of the package: an archive is whole or it is refused. The format
// itself has no end mark, and Proxmox's `vma verify` accepts an archive that was
// cut at the border of an extent; this reader counts every cluster of every
// device and refuses one that is missing, doubled, unknown or past the end.
// What the format cannot show is damage inside a stored block: it has no
// checksum there. The frame checksum of the compressor around it, or a digest
// of the file, has to hold that.
//
// Everything read is taken as hostile. The MD5 sums of the format protect from
// accident only, so every offset, size and count is checked against a bound
// before it is used, and memory is bounded: header up to 4 MiB, one extent
// (3.7 MiB), and one bit for each 64 KiB of disk up to 64 MiB (32 TiB of disk).
// Names are refused when they could leave a directory or garble a terminal;
// Proxmox's own tool joins them to a path unchecked.
//
// The device named "vmstate" (memory of a suspended machine, written by old
// versions) is a stream: its clusters come in order, its size is a hint, and
// its zero blocks are delivered like any other.
//
// Facts come from vma_spec.txt, vma.h, vma-reader.c and vma-writer.c of
// pve-qemu; where the text and the C code differ, the code is followed, since
// it is what wrote the archives that exist. The format has no library in Go.
package vma

// Sizes of the format, in bytes unless said otherwise.
const (
	blockSize        = 4096
	clusterSize      = 65536
	clusterBlocks    = clusterSize / blockSize
	headerSize       = 12288 // the fixed part
	extentHeaderSize = 512
	extentClusters   = 59 // entries that fit one extent
	fullMask         = 0xffff

	maxConfigs  = 256
	maxDeviceID = 254
	maxBlob     = 65535

	maxHeaderSize  = 4 << 20
	maxDeviceSize  = 256 << 40 // 2^32 clusters
	maxBitmapBytes = 64 << 20

	// writerClusters is where Proxmox's writer starts a new extent: one less
	// than fits, and readers in the field have only ever seen that.
	writerClusters = extentClusters - 1

	vmstate = "vmstate"
)

var (
	headerMagic = [4]byte{'V', 'M', 'A', 0}
	extentMagic = [4]byte{'V', 'M', 'A', 'E'}
)

// Offsets of the fields of the archive header and of an extent header. The
// tables are not 8-aligned, so they are read by offset.
const (
	hdrVersion    = 4
	hdrUUID       = 8
	hdrCreated    = 24
	hdrMD5        = 32
	hdrBlobOffset = 48
	hdrBlobSize   = 52
	hdrSize       = 56
	hdrNames      = 2044
	hdrData       = 3068
	hdrDevices    = 4096
	devEntrySize  = 32

	extBlocks = 6
	extUUID   = 8
	extMD5    = 24
	extInfo   = 40
	md5Size   = 16
)
