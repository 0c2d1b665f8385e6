package iso

import (
	"encoding/binary"
	"io/fs"
	"strings"
)

// ridge is what Rock Ridge says of an entry.
type ridge struct {
	name string
	mode fs.FileMode
	link string
	more bool // the last component of a link is continued
}

// ridge reads the system use entries of a record, and where they go on.
func (t *tree) ridge(system []byte, at int64) (ridge, error) {
	r := ridge{mode: 0o444}
	if len(system) >= t.skip {
		system = system[t.skip:]
	}
	for hops := 0; ; hops++ {
		next, err := r.entries(system, at)
		if err != nil || next == nil {
			return r, err
		}
		lba, off, size := binary.LittleEndian.Uint32(next[4:]), binary.LittleEndian.Uint32(next[12:]), binary.LittleEndian.Uint32(next[20:])
		if hops == 8 || off > block || size > block {
			return r, &Error{at, "the continuation of a record is damaged"}
		}
		raw, err := t.h.at(lba, int64(off)+int64(size), "the continuation of a record")
		if err != nil {
			return r, err
		}
		system = raw[off:]
	}
}

// entries reads one area; it returns the CE entry that says where it goes on.
func (r *ridge) entries(area []byte, at int64) (next []byte, err error) {
	for len(area) >= 4 && area[0] != 0 {
		n := int(area[2])
		if n < 4 || n > len(area) {
			return nil, &Error{at, "a Rock Ridge entry is damaged"}
		}
		e := area[:n]
		area = area[n:]
		switch string(e[:2]) {
		case "ST":
			return next, nil
		case "CE":
			if n < 28 {
				return nil, &Error{at, "a Rock Ridge entry is damaged"}
			}
			next = e
		case "PX":
			if n >= 8 {
				r.mode = modeOf(binary.LittleEndian.Uint32(e[4:]))
			}
		case "NM":
			if n >= 5 && e[4]&6 == 0 { // neither "." nor ".."
				r.name += string(e[5:])
			}
		case "SL":
			if n >= 5 {
				r.components(e[5:])
			}
		case "CL":
			return nil, &Error{at, "its folders lie too deep and were moved"}
		}
		if len(r.name) > maxName || len(r.link) > maxLink {
			return nil, &Error{at, "a name is too long"}
		}
	}
	return next, nil
}

// components appends to the target of a link.
func (r *ridge) components(c []byte) {
	for len(c) >= 2 && 2+int(c[1]) <= len(c) {
		flags, text := c[0], string(c[2:2+int(c[1])])
		c = c[2+int(c[1]):]
		if r.link != "" && !r.more && !strings.HasSuffix(r.link, "/") {
			r.link += "/"
		}
		switch {
		case flags&2 != 0:
			text = "."
		case flags&4 != 0:
			text = ".."
		case flags&8 != 0:
			text = "/"
		}
		r.link += text
		r.more = flags&1 != 0
	}
}

// modeOf translates the mode of stat(2), as far as an image needs it.
func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & 0o170000 {
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o040000:
		mode |= fs.ModeDir
	case 0o100000, 0:
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
