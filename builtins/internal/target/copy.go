package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/neosofia/runner/runtime/ledger"
)

// errRestart says that what an earlier transfer left is of other bytes than the
// source has now, which was seen too late to send them in the same pass.
var errRestart = errors.New("the source has other bytes than an earlier transfer sent")

// Copy reads a source once and writes it to all targets, each with its own
// outcome, in the order of the targets. A target that fails drops out; an error
// of the source, or bytes that Check refuses, fail all. Nothing is visible
// before all was read, opened where it will be sealed, and written durably.
//
// A copy that is there already is returned as it is when it holds these bytes.
// A transfer that broke is resumed by calling Copy again.
//
// Mirrors come last: what they copy is the repository of another target, which may be among the targets.
func Copy(ctx context.Context, src Source, targets []*Target) []Outcome {
	var others []*Target
	for _, t := range targets {
		if t.mirror == nil {
			others = append(others, t)
		}
	}
	rest := feedAll(ctx, src, others)
	outcomes := make([]Outcome, len(targets))
	for i, t := range targets {
		if t.mirror == nil {
			outcomes[i], rest = rest[0], rest[1:]
		}
	}
	for i, t := range targets {
		if t.mirror != nil {
			outcomes[i] = t.mirror.copy(ctx, src)
		}
	}
	return outcomes
}

// feedAll copies to targets that take the bytes of the source.
func feedAll(ctx context.Context, src Source, targets []*Target) []Outcome {
	jobs := make([]*job, len(targets))
	err := checkSource(src)
	folders := map[string]string{}
	for i, t := range targets {
		jobs[i] = newJob(t, src)
		jobs[i].settle(err)
		if other, twice := folders[t.spec.URL]; twice {
			jobs[i].settle(badTarget(t.spec.Name, "it is the same place as target %s", other))
		}
		folders[t.spec.URL] = t.spec.Name
	}
	each(jobs, func(j *job) { j.settle(j.prepare(ctx)) })
	for range 2 {
		live := unsettled(jobs)
		if len(live) == 0 {
			break
		}
		each(live, (*job).again)
		newPass(ctx, src, live).run()
	}
	outcomes := make([]Outcome, len(jobs))
	for i, j := range jobs {
		outcomes[i] = j.outcome()
	}
	return outcomes
}

func each(jobs []*job, do func(*job)) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		if !j.settled {
			wg.Go(func() { do(j) })
		}
	}
	wg.Wait()
}

func unsettled(jobs []*job) (live []*job) {
	for _, j := range jobs {
		if !j.settled {
			live = append(live, j)
		}
	}
	return live
}

// checkSource refuses an artifact whose manifest could not be read again: better
// now than when all of it was sent.
func checkSource(src Source) error {
	if src.Open == nil {
		return &sourceError{err: errors.New("read artifact: it has no source")}
	}
	a := src.Artifact
	m := Manifest{Version: manifestVersion, Artifact: a, Fields: src.Manifest}
	m.Artifact.Files = append([]ledger.File(nil), a.Files...)
	m.Copy = ledger.Copy{ID: "x", Artifact: a.ID, Kind: a.Kind, Asset: a.Asset, Item: a.Item, Ref: folderOf(a)}
	for i := range m.Artifact.Files {
		f := &m.Artifact.Files[i]
		f.Size = max(f.Size, 0)
		if f.SHA256 == "" {
			f.SHA256 = zeroDigest
		}
		m.Copy.Files = append(m.Copy.Files, ledger.StoredFile{Name: safeFile(f.Name), Of: f.Name, Size: f.Size, SHA256: f.SHA256})
		m.Copy.Bytes += f.Size
	}
	if _, err := encodeManifest(m); err != nil {
		return &sourceError{err: fmt.Errorf("copy artifact %s: %w", a.ID, err)}
	}
	return nil
}

const zeroDigest = "0000000000000000000000000000000000000000000000000000000000000000"

// outcome is what the caller gets.
func (j *job) outcome() Outcome {
	o := Outcome{Target: j.t.spec.Name, Copy: j.copy, Device: j.t.device, Err: j.err, Resumed: j.resumed, Clear: maps.Clone(j.clear),
		Notes: j.notes}
	if err, ok := errorAs[*sourceError](o.Err); ok {
		o.Err = err.err
	}
	return o
}
