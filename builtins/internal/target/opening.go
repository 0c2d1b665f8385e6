package target

import (
	"context"
	"errors"
	"io"

	"filippo.io/age"

	"github.com/neosofia/runner/runtime/ledger"
)

// Opening reads the files of one copy for who brings them back, and holds them in
// that same pass against all that Verify demands at Opened: what would not be opened
// is not brought back.
type Opening struct {
	t     *Target
	a     ledger.Artifact
	c     ledger.Copy
	ids   []age.Identity
	check func() Checker
	cur   Checker // that has seen the first files
	files int     // so many of them
	note  string  // why it was not opened; "": it was, or will be at the end
}

// Note says why a copy that came back was not opened; "" where it was.
func (o *Opening) Note() string { return o.note }

// Opening begins one. check may be nil: then digests are all that is compared.
func (t *Target) Opening(a ledger.Artifact, c ledger.Copy, ids []age.Identity, check func() Checker) *Opening {
	o := &Opening{t: t, a: a, c: c, ids: ids, check: check}
	if check != nil {
		o.cur = check()
	}
	return o
}

// Open returns the clear bytes of a file. Those of the files that are read to their
// end in the artifact's order are opened meanwhile: io.EOF means that they could be.
func (o *Opening) Open(ctx context.Context, file string) (io.ReadCloser, error) {
	f := ledger.File{Name: file}
	for _, known := range o.a.Files {
		if known.Name == file {
			f = known
		}
	}
	r, err := o.t.OpenFile(ctx, o.c, f, o.ids)
	if err != nil || o.cur == nil || o.files >= len(o.a.Files) || o.a.Files[o.files].Name != file {
		return r, err
	}
	pr, pw := io.Pipe()
	tee := &teed{ReadCloser: r, o: o, file: file, to: pw, result: make(chan error, 1)}
	check := o.cur
	go func() {
		err := check.File(ctx, file, pr)
		io.Copy(io.Discard, pr) // what it does not want, it was given all the same
		tee.result <- err
	}()
	return tee, nil
}

// End says whether the copy is one that opens. What was not read to its end, in
// order, is read back for it.
func (o *Opening) End(ctx context.Context) error {
	switch {
	case o.check == nil:
		return nil
	case o.files == len(o.a.Files) && o.note != "":
		return nil
	case o.files == len(o.a.Files):
		return o.t.unopened(o.c.Item, o.cur.End())
	}
	v, err := o.t.Verify(ctx, o.c, ledger.Opened, o.ids, o.check)
	if err == nil && v.Level < ledger.Opened {
		o.note = v.Note
	}
	return err
}

// teed is a file that is opened while it is read.
type teed struct {
	io.ReadCloser
	o      *Opening
	file   string
	to     *io.PipeWriter
	result chan error
	end    error
}

func (t *teed) Read(p []byte) (int, error) {
	if t.end != nil {
		return 0, t.end
	}
	n, err := t.ReadCloser.Read(p)
	t.to.Write(p[:n]) // the other end reads to the end, whatever it thinks of it
	if err == nil {
		return n, nil
	}
	t.to.CloseWithError(err)
	t.end = err
	said := <-t.result
	if errors.Is(said, ErrNotHere) {
		t.o.note, said = said.Error(), nil
	}
	check := t.o.t.unopened(t.file, said)
	t.result = nil
	switch {
	case err == io.EOF && check == nil:
		t.o.files++
		return n, err
	case err == io.EOF:
		t.end = check
	}
	t.o.cur = nil
	return n, t.end
}

// Close implements io.Closer.
func (t *teed) Close() error {
	if t.result != nil { // nobody wanted the rest: End reads it all
		t.to.CloseWithError(io.ErrClosedPipe)
		<-t.result
		t.result, t.end, t.o.cur = nil, io.ErrClosedPipe, nil
	}
	return t.ReadCloser.Close()
}
