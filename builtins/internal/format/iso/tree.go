package iso

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// tree collects the files of all folders.
type tree struct {
	h       *head
	volume  volume
	skip    int // bytes before the first system use entry, by SP
	seen    map[uint32]bool
	files   []placed
	entries int
	names   int // bytes of all names: folders make them longer than the image is
}

// placed is a file and where its content lies, in one piece.
type placed struct {
	File
	extent
	open bool // another extent of it follows
}

type folder struct {
	name string
	extent
	depth int
}

func (t *tree) walk() error {
	todo := []folder{{"", t.volume.root, 0}}
	for len(todo) > 0 {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, err := t.folder(f)
		if err != nil {
			return err
		}
		todo = append(todo, below...)
	}
	return nil
}

// folder reads the records of one folder.
func (t *tree) folder(f folder) ([]folder, error) {
	at := int64(f.lba) * block
	switch {
	case f.depth > MaxDepth:
		return nil, &Error{at, "its folders lie too deep"}
	case t.seen[f.lba]:
		return nil, &Error{at, "a folder contains itself"}
	}
	t.seen[f.lba] = true
	raw, err := t.h.at(f.lba, f.size, "folder /"+f.name)
	if err != nil {
		return nil, err
	}
	var below []folder
	first := len(t.files)
	for off := 0; off < len(raw); {
		n := int(raw[off])
		if n == 0 { // the rest of a block is not used
			off = (off/block + 1) * block
			continue
		}
		if n < 34 || off+n > len(raw) || int(raw[off+32])+33 > n {
			return nil, &Error{at + int64(off), "a record of folder /" + f.name + " is damaged"}
		}
		if t.entries++; t.entries > MaxEntries {
			return nil, &Error{at, fmt.Sprintf("it holds more than %d entries", MaxEntries)}
		}
		sub, err := t.record(f, raw[off:off+n], at+int64(off), first)
		if err != nil {
			return nil, err
		}
		if sub != nil {
			below = append(below, *sub)
		}
		off += n
	}
	if len(t.files) > first && t.files[len(t.files)-1].open {
		return nil, &Error{at, "the last extent of /" + t.files[len(t.files)-1].Name + " is missing"}
	}
	return below, nil
}

// record takes one entry of a folder: a file into the list, a folder as result.
func (t *tree) record(f folder, rec []byte, at int64, first int) (*folder, error) {
	ident := rec[33 : 33+int(rec[32])]
	use := 33 + len(ident)
	use += 1 - len(ident)%2 // padded to an even length
	var system []byte
	if use < len(rec) {
		system = rec[use:]
	}
	own := len(ident) == 1 && ident[0] <= 1
	if own {
		if f.depth == 0 && ident[0] == 0 && len(system) >= 7 && string(system[:2]) == "SP" {
			t.skip = int(system[6])
		}
		return nil, nil
	}
	ridge, err := t.ridge(system, at)
	if err != nil {
		return nil, err
	}
	name := ridge.name
	if name == "" {
		name, _, _ = strings.Cut(string(ident), ";")
		name = strings.TrimSuffix(name, ".")
	}
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
		return nil, &Error{at, fmt.Sprintf("invalid name in folder /%s: %q", f.name, name)}
	}
	e := extent{binary.LittleEndian.Uint32(rec[2:]), int64(binary.LittleEndian.Uint32(rec[10:]))}
	name = path.Join(f.name, name)
	if t.names += len(name); t.names > maxNames {
		return nil, &Error{at, "its names are too long"}
	}
	if rec[25]&2 != 0 {
		return &folder{name, e, f.depth + 1}, nil
	}
	return nil, t.add(placed{File{name, ridge.mode, e.size, ridge.link}, e, rec[25]&0x80 != 0}, at, first)
}

// add appends a file, or an extent to the file before.
func (t *tree) add(p placed, at int64, first int) error {
	if p.Mode&fs.ModeSymlink != 0 {
		p.Size, p.size = 0, 0
	}
	if n := len(t.files); n > first && t.files[n-1].open {
		last := &t.files[n-1]
		if last.Name != p.Name || last.size%block != 0 || int64(last.lba)+last.size/block != int64(p.lba) {
			return &Error{at, "the extents of /" + last.Name + " do not follow one another"}
		}
		last.size += p.size
		last.Size, last.open = last.size, p.open
		return nil
	}
	t.files = append(t.files, p)
	return nil
}
