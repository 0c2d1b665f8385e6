package target

import (
	"context"
	"encoding/hex"
	"fmt"
	"path"
	"slices"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// copy makes the mirror's copy of an artifact: the original's copy is opened where it lies, then its blobs
// are sealed as far as they are not there, then a state, and last the manifest. That the stream was opened
// before it was sealed is claimed of a copy that was opened in this very call.
func (m *mirrored) copy(ctx context.Context, src Source) Outcome {
	t := m.t
	out := Outcome{Target: t.spec.Name, Device: t.device}
	c := &mirroring{m: m, src: src, ref: folderOf(src.Artifact), id: ledger.CopyID(src.Artifact.ID, t.spec.Name)}
	if out.Err = c.run(ctx); out.Err == nil {
		out.Copy, out.Clear = c.copy, map[string]string{}
		for _, f := range c.from.Artifact.Files {
			out.Clear[f.Name] = f.SHA256
		}
	}
	if c.round != nil {
		out.Resumed, out.Notes = c.round.resumed, append(c.notes, c.round.notes...)
	}
	return out
}

// mirroring is the making of one copy.
type mirroring struct {
	m     *mirrored
	src   Source
	ref   string
	id    string
	from  Manifest // of the original's copy
	round *round
	notes []string
	copy  ledger.Copy
}

func (c *mirroring) run(ctx context.Context) error {
	t := c.m.t
	if err := t.inWindow(); err != nil {
		return err
	}
	if t.caps.Guard != nil {
		if err := t.caps.Guard(ctx); err != nil {
			return err
		}
	}
	there, err := t.manifest(ctx, c.ref)
	switch {
	case err == nil && (there.Copy.ID != c.id || !slices.Equal(there.Copy.SealedTo, t.prints)):
		e := damaged(t.spec.Name, "copy to "+c.ref, "there is a copy of this artifact already, of another target or sealed to others")
		e.Hint = "look at the manifest that is there; remove that copy if it is not wanted"
		return e
	case err != nil && !failure.Is(err, CodeNotFound):
		return err
	}
	have := err == nil
	from, err := c.m.original(ctx)
	if err != nil {
		return err
	}
	defer from.Close()
	began := t.env.Now()
	opened, err := c.open(ctx, from)
	if err != nil {
		return err
	}
	release, err := t.env.Repositories.alone(ctx, t.spec.Name)
	if err != nil {
		return err
	}
	defer release()
	if c.round, err = c.m.sync(ctx, from, c.ref); err != nil {
		return err
	}
	if have && slices.Equal(there.Copy.Files, c.from.Copy.Files) {
		c.copy = c.newCopy(there.Copy.Opened)
		c.copy.Created, c.copy.WriteBytes, c.copy.WriteNanos = there.Copy.Created, there.Copy.WriteBytes, there.Copy.WriteNanos
		return nil
	}
	c.copy = c.newCopy(opened)
	c.copy.WriteBytes, c.copy.WriteNanos = c.round.sent, int64(c.copy.Created.Sub(began))
	return c.commit(ctx)
}

// open proves the original's copy; it says whether it was opened.
func (c *mirroring) open(ctx context.Context, from *original) (opened bool, err error) {
	c.from, err = from.manifest(ctx, c.ref)
	if failure.Is(err, CodeNotFound) {
		return false, &failure.Error{Code: CodeNotFound, System: system(c.m.t.spec.Name), Doing: "mirror " + c.src.Artifact.Item,
			Said: fmt.Sprintf("%s, which it mirrors, has no copy of it", from.Name()),
			Hint: fmt.Sprintf("have it copied there, too: name %s in asset(on = …), or copy(to = …)", from.Name()), Cause: err}
	}
	if err != nil {
		return false, err
	}
	if want := ledger.CopyID(c.src.Artifact.ID, from.Name()); c.from.Copy.ID != want {
		return false, damaged(from.Name(), "mirror "+c.ref, "the copy there is %s, not %s", c.from.Copy.ID, want)
	}
	level := ledger.Read
	if c.src.Check != nil {
		level = ledger.Opened
	}
	v, err := from.Verify(ctx, c.from.Copy, level, nil, c.src.Check)
	return v.Level >= ledger.Opened, err
}

func (c *mirroring) newCopy(opened bool) ledger.Copy {
	j := &job{t: c.m.t, src: c.src, id: c.id}
	out := j.newCopy()
	out.Ref, out.Files, out.Bytes, out.SealedTo, out.Opened = c.ref, c.from.Copy.Files, c.from.Copy.Bytes, c.m.t.prints, opened
	return out
}

// commit makes the copy visible.
func (c *mirroring) commit(ctx context.Context) error {
	t := c.m.t
	m := Manifest{Artifact: c.from.Artifact, Copy: c.copy, Fields: c.src.Manifest, Decoded: c.from.Decoded}
	m.Artifact.Files, m.Artifact.Bytes = c.from.Artifact.Files, c.from.Artifact.Bytes
	m.Tree = Tree{Size: c.src.Head.Size, Root: hex.EncodeToString(c.src.Head.Root[:])}
	b, err := encodeManifest(m)
	if err != nil {
		return &sourceError{err: err}
	}
	c.notes = append(c.notes, t.outfit(ctx)...)
	if err := t.putSmall(ctx, path.Join(c.ref, readmeFile), mirrorCopyGuide(m)); err != nil {
		return err
	}
	if err := t.putSmall(ctx, path.Join(c.ref, manifestFile), b); err != nil {
		return err
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	delete(c.m.doubted, c.ref)
	return nil
}
