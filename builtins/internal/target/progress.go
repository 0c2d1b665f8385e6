package target

import (
	"context"
	"encoding/json"
	"errors"
	"path"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// progress lists the files of a copy that are complete, where their bytes cannot tell.
type progress struct {
	SealedTo []string            `json:"sealed_to"`
	PartSize int64               `json:"part_size"`
	Files    map[string]finished `json:"files"` // by stored name
}

type finished struct {
	Clear  string `json:"clear"` // SHA-256 of the clear bytes
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Native string `json:"native,omitempty"`
}

// loadProgress reads what an earlier transfer wrote down. What cannot be
// understood, or is of other recipients or parts, is as good as nothing: then all
// is sent again.
func (j *job) loadProgress(ctx context.Context) error {
	j.progress = progress{SealedTo: j.t.prints, PartSize: j.t.spec.PartSize, Files: map[string]finished{}}
	if !j.noted() || j.t.spec.Immutable {
		return nil
	}
	b, err := j.t.small(ctx, path.Join(j.parts, progressFile), maxManifest)
	if failure.Is(err, CodeNotFound, CodeDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	if p, err := parseProgress(b); err == nil && sameSealing(p, j.progress) {
		j.progress = p
	}
	return nil
}

// noted reports that what is complete must be written down: sealed bytes are never the
// same twice, and where a store cannot append there is nothing to go on from.
func (j *job) noted() bool { return len(j.t.seals) > 0 || !j.t.caps.Append && !j.t.caps.Whole }

func sameSealing(a, b progress) bool {
	if a.PartSize != b.PartSize || len(a.SealedTo) != len(b.SealedTo) {
		return false
	}
	for i := range a.SealedTo {
		if a.SealedTo[i] != b.SealedTo[i] {
			return false
		}
	}
	return true
}

func parseProgress(b []byte) (progress, error) {
	var p progress
	if err := strict(b); err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, err
	}
	if p.Files == nil {
		return p, errors.New("no files")
	}
	for name, f := range p.Files {
		if !safePart(name) || f.Size <= 0 || !isDigest(f.Clear) || !printable(f.Native) || !isDigest(f.SHA256) {
			return p, errors.New("an entry cannot be")
		}
	}
	return p, nil
}

// finished returns what is written down of a stored file that is complete.
func (j *job) finished(ctx context.Context, name string) (finished, bool, error) {
	done, ok := j.progress.Files[name]
	if !ok {
		return finished{}, false, nil
	}
	info, err := j.t.store.Stat(ctx, path.Join(j.parts, name))
	if failure.Is(err, CodeNotFound) {
		return finished{}, false, nil
	}
	if err != nil {
		return finished{}, false, err
	}
	return done, info.Regular && info.Size == done.Size, nil
}

// finish writes down that a stored file is complete and durable.
func (j *job) finish(ctx context.Context, s ledger.StoredFile, clear string) error {
	if j.t.spec.Immutable || j.t.caps.Whole {
		return nil
	}
	j.progress.Files[s.Name] = finished{Clear: clear, SHA256: s.SHA256, Size: s.Size, Native: s.Native}
	b, err := json.Marshal(j.progress)
	if err != nil {
		return err
	}
	return j.t.putSmall(ctx, path.Join(j.parts, progressFile), b)
}
