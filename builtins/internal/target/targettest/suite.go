package targettest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/neosofia/runner/runtime/failure"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Hooks are what the suite needs beside a target.
type Hooks struct {
	Dir     string // the folder behind the target, as others see it
	Objects bool   // the store can neither rename nor append
	Paced   bool   // its client waits between requests: fewer of the same kind are made
	// Open opens the same place with another declaration.
	Open func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target
}

// Run holds a scheme to the promises. open makes a new, empty place.
func Run(t *testing.T, open func(t *testing.T) (*target.Target, Hooks)) {
	for name, test := range map[string]func(*testing.T, *target.Target, Hooks){
		"a copy comes back as it was":                         roundTrip,
		"every combination of parts and sealing comes back":   combinations,
		"a broken transfer goes on from wherever it broke":    resume,
		"a second copy is the first":                          idempotent,
		"a crash before the manifest loses nothing":           crash,
		"a changed source starts again":                       changed,
		"damage on the medium is found":                       damage,
		"a wrong source is never visible":                     wrongSource,
		"hostile manifests are refused one by one":            hostile,
		"a removed copy leaves nothing":                       remove,
		"checkpoints are kept by host":                        checkpoints,
		"what broken transfers left can be swept":             sweep,
		"the program and its digest are left":                 program,
		"a mutable target is found out":                       probe,
		"cancelling ends a copy at once":                      cancel,
		"a target without writes of its own can be immutable": direct,
	} {
		t.Run(name, func(t *testing.T) {
			tgt, hooks := open(t)
			test(t, tgt, hooks)
		})
	}
}

// One copies to one target and wants it to succeed.
func One(t testing.TB, src target.Source, tgt *target.Target) target.Outcome {
	t.Helper()
	o := target.Copy(context.Background(), src, []*target.Target{tgt})[0]
	if o.Err != nil {
		t.Fatalf("got error %v (%s), want a copy", o.Err, failure.CodeOf(o.Err).Name)
	}
	return o
}

// ReadAll returns the clear bytes of a file of a copy.
func ReadAll(t testing.TB, tgt *target.Target, c ledger.Copy, file string, ids ...age.Identity) []byte {
	t.Helper()
	r, err := tgt.OpenFile(context.Background(), c, ledger.File{Name: file}, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verified(t testing.TB, tgt *target.Target, c ledger.Copy, level int, ids ...age.Identity) {
	t.Helper()
	v, err := tgt.Verify(context.Background(), c, level, ids, target.EachFile(accept).Each)
	if err != nil || v.Level != level {
		t.Fatalf("got level %d, error %v, want level %d", v.Level, err, level)
	}
	if level > ledger.Stored && v.Bytes != c.Bytes {
		t.Errorf("got %d bytes read, want %d", v.Bytes, c.Bytes)
	}
}

func accept(_ context.Context, _ string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func visible(t testing.TB, tgt *target.Target) []target.Manifest {
	t.Helper()
	all, bad, err := tgt.List(context.Background())
	bad, _ = apart(bad)
	if err != nil || len(bad) > 0 {
		t.Fatalf("got list errors %v and %v, want none", err, bad)
	}
	return all
}

// apart says what is a copy that cannot be read from what is none.
func apart(list []error) (bad []error, odd []string) {
	for _, err := range list {
		if o := (*target.OddError)(nil); errors.As(err, &o) {
			odd = append(odd, o.Error())
		} else {
			bad = append(bad, err)
		}
	}
	return bad, odd
}

func roundTrip(t *testing.T, tgt *target.Target, h Hooks) {
	files := []File{{"disk.vma.zst", Bytes(1, 3<<20+17)}, {"empty.log", nil}, {"a file/with: strange.conf", []byte("x")}}
	src := Source(files...)
	o := One(t, src, tgt)
	for i, f := range files {
		if got := ReadAll(t, tgt, o.Copy, f.Name); !bytes.Equal(got, f.Data) {
			t.Errorf("got %d other bytes of %s, want what was copied", len(got), f.Name)
		}
		sum := sha256.Sum256(f.Data)
		if want := hex.EncodeToString(sum[:]); o.Clear[f.Name] != want || o.Copy.Files[i].SHA256 != want {
			t.Errorf("got digests %s and %s of %s, want %s", o.Clear[f.Name], o.Copy.Files[i].SHA256, f.Name, want)
		}
	}
	if got, want := o.Copy.Ref, "vm/erp/20261123T071116Z-"+src.Artifact.ID; got != want {
		t.Errorf("got folder %s, want %s", got, want)
	}
	all := visible(t, tgt)
	if len(all) != 1 || all[0].Copy.ID != o.Copy.ID || all[0].Artifact.Item != "erp" || all[0].Fields["sop"] != "IT-245" ||
		all[0].Tree.Size != 7 {
		t.Errorf("got manifests %+v, want the one of the copy", all)
	}
	for level := ledger.Stored; level <= ledger.Opened; level++ {
		verified(t, tgt, o.Copy, level)
	}
	for _, name := range []string{"README.txt", "SHA256SUMS", "manifest.json"} {
		if _, err := os.Stat(filepath.Join(h.Dir, o.Copy.Ref, name)); err != nil {
			t.Errorf("got %v, want %s beside the copy", err, name)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(h.Dir, ".runner-parts")); len(left) > 0 {
		t.Errorf("got %v left in .runner-parts, want nothing", left)
	}
	free, total, err := tgt.Space(context.Background())
	if err != nil || free <= 0 || total < free {
		t.Errorf("got space %d of %d, error %v, want some", free, total, err)
	}
}

func combinations(t *testing.T, _ *target.Target, h Hooks) {
	for _, seal := range []string{"plain", "classic", "hybrid"} {
		small := int64(20_000)
		if h.Paced {
			small = 140_000
		}
		for _, size := range []int64{0, small, 200_000} {
			for _, unknown := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, parts of %d, size unknown %t", seal, size, unknown), func(t *testing.T) {
					combination(t, h, seal, size, unknown)
				})
			}
		}
	}
}

func combination(t *testing.T, h Hooks, seal string, size int64, unknown bool) {
	var ids []age.Identity
	tgt := h.Open(t, func(s *target.Spec, _ *target.Env) {
		s.PartSize = size
		if seal != "plain" {
			id, recipient := Keys(t, seal == "hybrid")
			ids, s.SealedTo = append(ids, id), []string{recipient}
		}
	})
	data := Bytes(2, 400_000)
	src := Source(File{"disk.raw", data})
	src.Artifact.ID = ledger.ArtifactID(t.Name(), "/0")
	src.Check = target.EachFile(accept).Each
	if unknown {
		src.Artifact.Files[0].Size = -1
	}
	o := One(t, src, tgt)
	for _, f := range o.Copy.Files {
		if size > 0 && f.Size > size {
			t.Errorf("got a part of %d bytes, want at most %d", f.Size, size)
		}
		if f.Sealed != (seal != "plain") {
			t.Errorf("got sealed %t of %s, want %s", f.Sealed, f.Name, seal)
		}
	}
	if size > 0 && len(o.Copy.Files) < 2 {
		t.Errorf("got %d stored files, want several parts", len(o.Copy.Files))
	}
	if o.Copy.Opened != (seal != "plain") {
		t.Errorf("got opened %t, want it of a sealed copy", o.Copy.Opened)
	}
	if got := ReadAll(t, tgt, o.Copy, "disk.raw", ids...); !bytes.Equal(got, data) {
		t.Errorf("got other bytes, want what was copied")
	}
	verified(t, tgt, o.Copy, ledger.Read)
	verified(t, tgt, o.Copy, ledger.Opened, ids...)
	if seal != "plain" {
		other, _ := Keys(t, seal == "hybrid")
		for _, ids := range [][]age.Identity{nil, {other}} {
			_, err := tgt.Verify(context.Background(), o.Copy, ledger.Opened, ids, target.EachFile(accept).Each)
			Refused(t, err, target.CodeNoIdentity)
		}
	}
}

func resume(t *testing.T, _ *target.Target, h Hooks) {
	const size = 20_000
	data := Bytes(3, size)
	for _, seal := range []bool{false, true} {
		var ids []age.Identity
		tgt := h.Open(t, func(s *target.Spec, _ *target.Env) {
			s.PartSize = 7000
			if seal {
				id, recipient := Keys(t, false)
				ids, s.SealedTo = []age.Identity{id}, []string{recipient}
			}
		})
		breaks := []int64{0, 1, 100, 6999, 7000, 7001, 13_999, 14_000, 15_000, 19_999, size}
		if h.Paced {
			breaks = []int64{0, 7001, 15_000, size}
		}
		for _, at := range breaks {
			src := Source(File{"a.raw", data[:size/2]}, File{"b.raw", data[size/2:]})
			src.Artifact.ID = ledger.ArtifactID(fmt.Sprint(at, seal), "/0")
			before := len(visible(t, tgt))
			o := target.Copy(context.Background(), BreakAt(src, at, nil), []*target.Target{tgt})[0]
			if !errors.Is(o.Err, ErrBroken) && at < size {
				t.Fatalf("got error %v at %d, want that of the source", o.Err, at)
			}
			if o.Err != nil && len(visible(t, tgt)) != before {
				t.Fatalf("broken at %d, the copy is visible", at)
			}
			o = One(t, src, tgt)
			if at >= 10_000 && o.Resumed == 0 {
				t.Errorf("broken at %d, sealed %t: nothing was resumed", at, seal)
			}
			got := append(ReadAll(t, tgt, o.Copy, "a.raw", ids...), ReadAll(t, tgt, o.Copy, "b.raw", ids...)...)
			if !bytes.Equal(got, data) {
				t.Errorf("broken at %d, sealed %t: got other bytes", at, seal)
			}
			verified(t, tgt, o.Copy, ledger.Read)
		}
	}
}
