package target_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

// scripted is a checker that reads so much of each file, and says this.
type scripted struct {
	read     int64
	of       map[string]error
	end      error
	seen     []string
	untilEnd int
}

func (s *scripted) File(_ context.Context, name string, r io.Reader) error {
	s.seen = append(s.seen, name)
	if s.read >= 0 {
		r = io.LimitReader(r, s.read)
	}
	_, err := io.Copy(io.Discard, r)
	return errors.Join(s.of[name], err)
}

func (s *scripted) End() error { s.untilEnd++; return s.end }

// What comes back is held against all that verify demands, in whatever way it is read.
func TestWhatIsNotOpenedIsNotBroughtBack(t *testing.T) {
	a, b := Bytes(1, 300_000), Bytes(2, 70_000)
	tgt := openFolder(t, newFolder(t), nil)
	o := One(t, Source(File{Name: "a", Data: a}, File{Name: "b", Data: b}), tgt)
	art := Artifact(File{Name: "a", Data: a}, File{Name: "b", Data: b})
	for i, f := range art.Files {
		art.Files[i].SHA256 = o.Clear[f.Name]
	}
	damage := errors.New("no such extent")
	whole := func(o *target.Opening, names ...string) error {
		for _, n := range names {
			r, err := o.Open(t.Context(), n)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			r.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	for name, c := range map[string]struct {
		check scripted
		files []string
		part  bool   // of the first file is read
		want  string // in the error
		note  string
		again bool // the copy was read once more, by verify
	}{
		"all of it, in order":            {scripted{read: -1}, []string{"a", "b"}, false, "", "", false},
		"the checker wants little of it": {scripted{read: 10}, []string{"a", "b"}, false, "", "", false},
		"in another order":               {scripted{read: -1}, []string{"b", "a"}, false, "", "", true},
		"one file of two":                {scripted{read: -1}, []string{"a"}, false, "", "", true},
		"a part of a file":               {scripted{read: -1}, nil, true, "", "", true},
		"nothing":                        {scripted{read: -1}, nil, false, "", "", true},
		"the first is damaged": {scripted{read: -1, of: map[string]error{"a": damage}}, []string{"a", "b"}, false,
			"no such extent", "", false},
		"the checker gives up early": {scripted{read: 10, of: map[string]error{"b": damage}}, []string{"a", "b"}, false,
			"no such extent", "", false},
		"they contradict one another":                 {scripted{read: -1, end: damage}, []string{"a", "b"}, false, "no such extent", "", false},
		"they contradict one another, in other order": {scripted{read: -1, end: damage}, []string{"b", "a"}, false, "no such extent", "", true},
		"it cannot be opened here": {scripted{read: 10,
			of: map[string]error{"a": fmt.Errorf("%w: packed with lzo", target.ErrNotHere)}}, []string{"a", "b"}, false, "", "packed with lzo",
			false},
		"nor by verify": {scripted{read: 10, of: map[string]error{"a": fmt.Errorf("%w: packed with lzo", target.ErrNotHere)}}, []string{"b"},
			false, "", "packed with lzo", true},
	} {
		t.Run(name, func(t *testing.T) {
			made := 0
			opening := tgt.Opening(art, o.Copy, nil, func() target.Checker { made++; check := c.check; return &check })
			err := whole(opening, c.files...)
			if c.part {
				r, oerr := opening.Open(t.Context(), "a")
				if oerr != nil {
					t.Fatal(oerr)
				}
				_, err = io.ReadFull(r, make([]byte, 1000))
				r.Close()
			}
			if err == nil {
				err = opening.End(t.Context())
			}
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if !strings.Contains(opening.Note(), c.note) || c.note == "" && opening.Note() != "" {
				t.Errorf("got note %q, want %q", opening.Note(), c.note)
			}
			if (made > 1) != c.again {
				t.Errorf("%d checkers were made; read once more: want %v", made, c.again)
			}
		})
	}

	// A copy that cannot be opened here is read, and not damaged; a sealed one can be made of it.
	v, err := tgt.Verify(t.Context(), o.Copy, ledger.Opened, nil, func() target.Checker {
		return &scripted{read: 5, of: map[string]error{"b": fmt.Errorf("%w: packed with lzo", target.ErrNotHere)}}
	})
	if err != nil || v.Level != ledger.Read || !strings.Contains(v.Note, "packed with lzo") {
		t.Errorf("got %+v, %v, want it read", v, err)
	}
	id, recipient := Keys(t, false)
	sealed := openFolder(t, newFolder(t), func(s *target.Spec, _ *target.Env) { s.SealedTo = []string{recipient} })
	src := Source(File{Name: "a", Data: a}, File{Name: "b", Data: b})
	src.Check = func() target.Checker {
		return &scripted{read: 5, of: map[string]error{"a": fmt.Errorf("%w: packed with lzo", target.ErrNotHere)}}
	}
	if out := One(t, src, sealed); out.Copy.Opened || string(ReadAll(t, sealed, out.Copy, "b", id)) != string(b) {
		t.Error("what cannot be opened is sealed, and not called opened")
	}

	// Clear bytes that are not the source's end in an error, and not in io.EOF.
	art.Files[1].SHA256 = strings.Repeat("0", 64)
	if err := whole(tgt.Opening(art, o.Copy, nil, nil), "b"); err != nil {
		t.Logf("an unsealed file is held against what was stored: %v", err)
	} else {
		t.Error("a file with another digest than the artifact's is brought back")
	}
}
