package iso

import (
	"bytes"
	"io"
	"sort"
)

// hand gives the files out in the order of the medium.
func (t *tree) hand(img *Image, file func(File, io.Reader) error) error {
	list := t.files
	if c := t.volume.catalog; c != 0 { // read on the way, whether or not a file's name leads to it
		list = append(list, placed{extent: extent{c, 64}})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].place() < list[j].place() })
	for i := 0; i < len(list); {
		n := i + 1
		for n < len(list) && list[i].size > 0 && list[n].lba == list[i].lba {
			n++
		}
		if err := t.content(img, list[i:n], file); err != nil {
			return err
		}
		i = n
	}
	return t.end(img)
}

// place orders the medium; links and empty files lie nowhere and come first.
func (p placed) place() int64 {
	if p.size == 0 {
		return -1
	}
	return int64(p.lba)
}

// content hands out the files that share one beginning.
func (t *tree) content(img *Image, group []placed, file func(File, io.Reader) error) error {
	size, named := int64(0), 0
	for _, p := range group {
		if p.Name == "" {
			continue
		}
		if named++; named > 1 && p.size != size {
			return &Error{int64(p.lba) * block, "/" + p.Name + " overlaps another file"}
		}
		size = p.size
	}
	var body io.Reader = bytes.NewReader(nil)
	left := &io.LimitedReader{R: body, N: max(size, group[0].size)}
	if left.N > 0 {
		src, err := t.h.stream(int64(group[0].lba) * block)
		if err != nil {
			return err
		}
		left.R = src
		body = left
	}
	if body, err := t.catalog(img, group, left, body); err != nil {
		return err
	} else if err := t.each(img, group, file, body); err != nil {
		return err
	}
	if left.N > 0 {
		if _, err := io.Copy(io.Discard, left); err != nil || left.N > 0 {
			return t.h.blame("/"+group[0].Name, orEOF(err))
		}
	}
	return nil
}

// catalog reads the boot catalog when it is what lies here, and gives its bytes
// back to the file of that name.
func (t *tree) catalog(img *Image, group []placed, left *io.LimitedReader, body io.Reader) (io.Reader, error) {
	if c := t.volume.catalog; c == 0 || group[0].lba != c || left.N < 64 {
		return body, nil
	}
	first := make([]byte, min(left.N, block))
	if _, err := io.ReadFull(left, first); err != nil {
		return nil, t.h.blame("the boot catalog", err)
	}
	img.Boots = boots(first)
	return io.MultiReader(bytes.NewReader(first), left), nil
}

func (t *tree) each(img *Image, group []placed, file func(File, io.Reader) error, body io.Reader) error {
	for _, p := range group {
		if p.Name == "" {
			continue
		}
		img.Files = append(img.Files, p.File)
		if !p.Mode.IsRegular() {
			continue
		}
		checked := body
		if checked != nil && p.size > 0 {
			checked = &whole{r: body, left: p.size, t: t, name: p.Name}
		}
		if err := file(p.File, checked); err != nil {
			if t.h.err != nil {
				return t.h.err
			}
			return err
		}
		body = nil
	}
	return nil
}

// whole makes an early end an error of the image.
type whole struct {
	r    io.Reader
	left int64
	t    *tree
	name string
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 {
		return n, w.t.h.blame("/"+w.name, err)
	}
	return n, err
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// end reads what follows the last file: writers pad, and a cut there loses
// nothing, but the volume's own length has to be there.
func (t *tree) end(img *Image) error {
	if _, err := io.Copy(io.Discard, t.h); err != nil {
		return t.h.blame("its padding", err)
	}
	if t.h.pos < img.Blocks*block {
		return &Error{t.h.pos, "it ends before the length that it states"}
	}
	return nil
}
