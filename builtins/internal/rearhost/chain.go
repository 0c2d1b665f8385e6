package rearhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const fullEvery = 7 * 24 * time.Hour

// choose decides whether a chain goes on or begins anew.
func (j *job) choose(ctx context.Context) error {
	if !j.a.Differential {
		return nil
	}
	every := fullEvery
	if j.a.FullEvery != 0 {
		every = j.a.FullEvery
	}
	earlier, err := j.earlier(ctx)
	if err != nil {
		return err
	}
	j.o.Differential, j.o.Full = j.o.Artifact, true
	for _, a := range earlier { // newest first
		if a.Declared["archive_type"] != "full" || a.Declared["chain"] != a.ID {
			continue
		}
		o := j.o
		o.Differential = a.ID
		_, err := j.m.Stat(ctx, path.Join(o.ChainDir(), "archives", a.Declared["archive"]))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			j.s.Log("the full archive of %s is not on the host any more: a new chain begins", a.Created.Format(time.RFC3339))
		case err != nil:
			return err
		case j.s.Now().Sub(a.Created) < every:
			j.o.Differential, j.o.Full, j.full = a.ID, false, &a
		}
		return nil
	}
	return nil
}

// earlier lists the images of this host, newest first.
func (j *job) earlier(ctx context.Context) (out []ledger.Artifact, err error) {
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := catalog.Artifacts(ctx, ledger.Query{Item: j.name})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Kind == "rear" && a.ID != j.s.ArtifactID() {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b ledger.Artifact) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// chained demands that the archive builds on the full one that it was meant to.
func (j *job) chained(made *rear.Made) error {
	want := ""
	if j.full != nil {
		want = j.full.Declared["archive"]
	}
	if made.Full != want {
		return &failure.Error{Code: rear.CodeChain, Doing: "look what the archive " + made.Archive + " builds on",
			Said: fmt.Sprintf("it builds on %q, and the ledger knows %q", made.Full, want),
			Hint: "something else writes archives into the chain's folder on the host"}
	}
	return nil
}
