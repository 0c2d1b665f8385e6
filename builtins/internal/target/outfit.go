package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

// outfit leaves the README and the program at the target's root. What cannot be
// left is no reason to have no copy: it is returned in words.
func (t *Target) outfit(ctx context.Context) (notes []string) {
	var file string
	ok := false
	if t.env.Binary != nil {
		if file, ok = t.env.Binary(); ok && file == "" {
			return nil // another copy of this run sees to both: they would write one draft
		}
	}
	readme := rootGuide()
	switch {
	case t.mirror != nil:
		readme = mirrorGuide()
	case t.spec.Layout == LayoutChunks:
		readme = chunksGuide()
	}
	if err := t.renew(ctx, readmeFile, readme); err != nil {
		notes = append(notes, "the README could not be left: "+err.Error())
	}
	if t.env.Binary == nil {
		return notes
	}
	if !ok {
		return append(notes, "the program could not be left: there is no static one")
	}
	if err := t.leaveProgram(ctx, file); err != nil {
		notes = append(notes, "the program could not be left: "+err.Error())
	}
	return notes
}

// renew writes a small file unless it is there as it should be.
func (t *Target) renew(ctx context.Context, name string, b []byte) error {
	have, err := t.small(ctx, name, maxManifest)
	if err == nil && bytes.Equal(have, b) {
		return nil
	}
	if err != nil && !failure.Is(err, CodeNotFound, CodeDamaged) {
		return err
	}
	return t.putSmall(ctx, name, b)
}

// leaveProgram writes the program unless the target has it.
func (t *Target) leaveProgram(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	name := "runner-linux-" + goruntime.GOARCH
	line := hex.EncodeToString(h.Sum(nil)) + "  " + name + "\n"
	have, err := t.small(ctx, name+".sha256", 4096)
	if err == nil && strings.TrimSpace(string(have)) == strings.TrimSpace(line) {
		if info, err := t.store.Stat(ctx, name); err == nil && info.Size == size {
			return nil
		}
	}
	if err != nil && !failure.Is(err, CodeNotFound, CodeDamaged) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	draft := name + ".part"
	if !t.drafts() {
		draft = name
	}
	if _, err := t.store.Put(ctx, draft, 0, size, struct{ io.Reader }{f}); err != nil {
		return err
	}
	if draft != name {
		if err := t.store.Rename(ctx, draft, name); err != nil {
			return err
		}
	}
	if err := t.putSmall(ctx, name+".sha256", []byte(line)); err != nil {
		return err
	}
	if t.caps.Program != nil { // last: where it is refused, the program is there all the same
		return t.caps.Program(ctx, name)
	}
	return nil
}
