// Package iso reads ISO 9660 images with Rock Ridge names in one forward pass.
//
// Its rule: an image comes as a stream (from a target, through decryption) and is
// never spooled. The writers that make rescue images (xorriso, genisoimage,
// go-diskfs) put all folders before the first file's data. So what lies before
// and between the folders is kept, at most MaxHead bytes of it; then the files
// are handed out in the order in which they lie on the medium. An image whose
// folders lie further behind is refused by name: nothing else is then known of it.
//
// The libraries looked at, diskfs/go-diskfs and kdomanski/iso9660, want random
// access and trust the lengths that an image states; go-diskfs is what the tests
// and the lab make images with, so reader and writer share no mistake.
//
// Sources of facts: ECMA-119 (descriptors, folders, extents), IEEE P1281 and P1282
// (SUSP and Rock Ridge: PX, NM, SL, CE, SP), El Torito 1.0 (boot catalog), and
// images that ReaR 2.7 made with xorriso. A file beyond 4 GiB has several extents
// (-iso-level 3), which have to follow one another.
package iso

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// Bounds of what is believed of an image.
const (
	MaxEntries = 1 << 18
	MaxHead    = 32 << 20
	MaxDepth   = 32
	block      = 2048
	maxName    = 1024
	maxLink    = 4096
	maxNames   = 32 << 20
)

// File is one file of an image.
type File struct {
	Name string      // path from the root, without a leading slash: "isolinux/kernel"
	Mode fs.FileMode // type and permissions as Rock Ridge has them; 0444 without
	Size int64       // bytes of content
	Link string      // target of a symbolic link
}

// Boot is one entry of the boot catalog.
type Boot struct {
	EFI   bool   // else for a BIOS
	Block uint32 // where its image begins, in units of 2048 bytes
}

// Image is what is known of an image once it was read.
type Image struct {
	Volume string // its label
	Boots  []Boot // what firmware can start; empty when it starts nothing
	Files  []File // regular files and links, in the order of the medium
	Blocks int64  // its length by its own words, in units of 2048 bytes
}

// Error says that the image is at fault, and where.
type Error struct {
	Offset int64
	What   string
}

func (e *Error) Error() string { return fmt.Sprintf("iso image, byte %d: %s", e.Offset, e.What) }

// Read reads an image to the end of the stream. Each regular file is handed to
// file, in the order of the medium; names that share one content (hard links)
// follow one another, and only the first is given its bytes: the others get nil.
// What file leaves of a content is skipped; an error of it ends the reading.
//
// Errors: *Error when the image is at fault, what file, the source or ctx
// returned otherwise.
func Read(ctx context.Context, r io.Reader, file func(f File, content io.Reader) error) (Image, error) {
	h := &head{ctx: ctx, r: r}
	v, err := readVolume(h)
	if err != nil {
		return Image{}, err
	}
	t := &tree{h: h, volume: v, seen: map[uint32]bool{}}
	if err := t.walk(); err != nil {
		return Image{}, err
	}
	img := Image{Volume: v.label, Blocks: v.blocks}
	err = t.hand(&img, file)
	return img, err
}
