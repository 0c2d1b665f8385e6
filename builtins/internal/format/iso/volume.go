package iso

import (
	"encoding/binary"
	"strings"
)

// volume is what the descriptors say.
type volume struct {
	label   string
	blocks  int64
	root    extent
	catalog uint32 // of El Torito; 0 without
}

// extent is where something lies.
type extent struct {
	lba  uint32
	size int64
}

func readVolume(h *head) (volume, error) {
	var v volume
	for lba := uint32(16); ; lba++ {
		if lba == 16+64 {
			return v, &Error{int64(lba) * block, "its volume descriptors have no end"}
		}
		d, err := h.at(lba, block, "the volume descriptors")
		if err != nil {
			return v, err
		}
		if string(d[1:6]) != "CD001" {
			return v, &Error{int64(lba) * block, "there is no volume descriptor: this is not an ISO 9660 image"}
		}
		switch d[0] {
		case 0:
			if strings.HasPrefix(string(d[7:39]), "EL TORITO SPECIFICATION") {
				v.catalog = binary.LittleEndian.Uint32(d[71:])
			}
		case 1:
			if v.root.lba != 0 {
				continue
			}
			if size := binary.LittleEndian.Uint16(d[128:]); size != block {
				return v, &Error{int64(lba) * block, "its blocks are not of 2048 bytes"}
			}
			v.label = strings.TrimRight(string(d[40:72]), " \x00")
			v.blocks = int64(binary.LittleEndian.Uint32(d[80:]))
			v.root = extent{binary.LittleEndian.Uint32(d[158:]), int64(binary.LittleEndian.Uint32(d[166:]))}
		case 255:
			if v.root.lba == 0 {
				return v, &Error{int64(lba) * block, "it has no primary volume descriptor"}
			}
			return v, nil
		}
	}
}

// boots reads the boot catalog: one block of it, 64 entries, is more than any
// firmware looks at.
func boots(d []byte) []Boot {
	if len(d) < 64 || d[0] != 1 || d[30] != 0x55 || d[31] != 0xaa {
		return nil
	}
	var out []Boot
	efi := d[1] == 0xef
	for at := 32; at+32 <= len(d); at += 32 {
		switch e := d[at : at+32]; e[0] {
		case 0x88:
			out = append(out, Boot{efi, binary.LittleEndian.Uint32(e[8:])})
		case 0x90, 0x91:
			efi = e[1] == 0xef
		case 0x44: // extension of the entry before
		default:
			if at > 32 {
				return out
			}
		}
	}
	return out
}
