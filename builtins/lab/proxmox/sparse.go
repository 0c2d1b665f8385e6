package proxmox

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// extent is one run of data in a file with holes.
type extent struct{ off, len int64 }

// dataExtents asks the file system where the file has data.
func dataExtents(f *os.File, size int64) ([]extent, error) {
	var out []extent
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("find holes of %s: %w", f.Name(), err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("find holes of %s: %w", f.Name(), err)
		}
		out = append(out, extent{start, end - start})
		at = end
	}
	return out, nil
}

// sparse writes a file with holes in GNU's PAX format 1.0, which archive/tar
// reads but does not write: a PAX header with the real name and size, then the
// map of the data as text, then the data.
func (t *tarDump) sparse(h *tar.Header, f *os.File) error {
	extents, err := dataExtents(f, h.Size)
	if err != nil {
		return err
	}
	var table bytes.Buffer
	fmt.Fprintf(&table, "%d\n", len(extents))
	stored := int64(0)
	for _, e := range extents {
		fmt.Fprintf(&table, "%d\n%d\n", e.off, e.len)
		stored += e.len
	}
	if rest := table.Len() % 512; rest != 0 {
		table.Write(make([]byte, 512-rest))
	}
	var pax bytes.Buffer
	for _, kv := range [][2]string{
		{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"},
		{"GNU.sparse.name", h.Name}, {"GNU.sparse.realsize", strconv.FormatInt(h.Size, 10)},
	} {
		pax.WriteString(paxRecord(kv[0], kv[1]))
	}
	if err := t.tw.Flush(); err != nil {
		return err
	}
	name := path.Join(path.Dir(h.Name), "GNUSparseFile.0", path.Base(h.Name))
	blocks := [][]byte{
		ustar("./PaxHeaders/"+path.Base(h.Name), 'x', int64(pax.Len()), h), padded(pax.Bytes()),
		ustar("./"+name, '0', int64(table.Len())+stored, h), table.Bytes(),
	}
	for _, b := range blocks {
		if _, err := t.out.Write(b); err != nil {
			return err
		}
	}
	for _, e := range extents {
		if _, err := io.Copy(t.out, io.NewSectionReader(f, e.off, e.len)); err != nil {
			return err
		}
	}
	_, err = t.out.Write(make([]byte, (512-stored%512)%512))
	return err
}

// paxRecord is "length key=value\n", the length counting itself.
func paxRecord(key, value string) string {
	n := len(key) + len(value) + 3
	for {
		s := strconv.Itoa(n+len(strconv.Itoa(n))) + " " + key + "=" + value + "\n"
		if len(s) == n+len(strconv.Itoa(n)) {
			return s
		}
		n++
	}
}

func padded(b []byte) []byte {
	return append(b, make([]byte, (512-len(b)%512)%512)...)
}

// ustar is one header block.
func ustar(name string, kind byte, size int64, h *tar.Header) []byte {
	b := make([]byte, 512)
	if len(name) > 99 {
		name = name[:99] // the PAX record carries the real one
	}
	copy(b, name)
	octal := func(at, width int, n int64) { copy(b[at:], fmt.Sprintf("%0*o", width-1, n)) }
	octal(100, 8, h.Mode&0o7777)
	octal(108, 8, int64(h.Uid))
	octal(116, 8, int64(h.Gid))
	octal(124, 12, size)
	octal(136, 12, h.ModTime.Unix())
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[148:], "        ")
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}
