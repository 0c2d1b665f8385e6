package target

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// superblockSize is how much of a device parseSuperblock wants: btrfs keeps its
// superblock at 64 KiB.
const superblockSize = 68 << 10

type superblock struct{ fs, uuid, label string }

func readSuperblock(r io.ReaderAt) (superblock, bool) {
	b := make([]byte, superblockSize)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return superblock{}, false
	}
	return parseSuperblock(b[:n])
}

// parseSuperblock knows ext2 to ext4, xfs, btrfs, and FAT, by their magic numbers.
func parseSuperblock(b []byte) (superblock, bool) {
	at := func(offset, n int) []byte {
		if offset+n > len(b) {
			return make([]byte, n)
		}
		return b[offset : offset+n]
	}
	is := func(offset int, magic string) bool { return string(at(offset, len(magic))) == magic }
	switch {
	case is(0, "XFSB"):
		return superblock{"xfs", uuid(at(32, 16)), label(at(108, 12))}, true
	case is(0x10040, "_BHRfS_M"):
		return superblock{"btrfs", uuid(at(0x10020, 16)), label(at(0x1012b, 256))}, true
	case binary.LittleEndian.Uint16(at(0x438, 2)) == 0xef53:
		return superblock{"ext4", uuid(at(0x468, 16)), label(at(0x478, 16))}, true
	case is(510, "\x55\xaa") && is(82, "FAT32   "):
		return superblock{"vfat", serial(at(67, 4)), label(at(71, 11))}, true
	case is(510, "\x55\xaa") && (is(54, "FAT16   ") || is(54, "FAT12   ")):
		return superblock{"vfat", serial(at(39, 4)), label(at(43, 11))}, true
	case is(3, "EXFAT   "):
		return superblock{"exfat", serial(at(100, 4)), ""}, true
	}
	return superblock{}, false
}

func uuid(b []byte) string {
	s := hex.EncodeToString(b)
	if strings.Trim(s, "0") == "" {
		return ""
	}
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// serial is how FAT's volume id is written: 1A2B-3C4D.
func serial(b []byte) string {
	v := binary.LittleEndian.Uint32(b)
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", v>>16, v&0xffff)
}

func label(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	if s = strings.TrimRight(s, " "); !printable(s) || s == "NO NAME" {
		return ""
	}
	return s
}
