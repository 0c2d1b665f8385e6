package chunks

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/kopia/kopia/repo/content"
)

// Damage is a file that would not come back.
type Damage struct {
	Name string
	Err  error // *failure.Error
}

// Check reads every chunk of all files once, from the medium, and names the files that a
// damaged or missing chunk belongs to. That the chunks of a file are the bytes that were
// put is for a digest to say, which the caller has. The error is that the check itself could not be made, or that
// the names cannot be read: then every file is concerned.
func (r *Repository) Check(ctx context.Context) (bad []Damage, err error) {
	const doing = "check the repository"
	defer r.rescue(doing, &err)
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	if err := r.complete(doing); err != nil {
		return nil, err
	}
	c := checker{r: r, read: map[content.ID]error{}}
	for _, dir := range append(r.below("."), r.top()...) {
		r.mu.Lock()
		all := r.folders[dir].all
		r.mu.Unlock()
		for _, s := range all {
			if err := c.entry(ctx, dir, s.RootEntry); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(c.bad, func(a, b Damage) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return c.bad, nil
}

// top is the folder of the repository itself, where it has files.
func (r *Repository) top() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.folders["."] == nil {
		return nil
	}
	return []string{"."}
}

type checker struct {
	r    *Repository
	read map[content.ID]error // chunks that were read, and what came of it
	bad  []Damage
}

// entry checks a file, or a folder with all that is in it. It returns only ctx's error.
func (c *checker) entry(ctx context.Context, name string, e *entry) error {
	err := c.chunks(ctx, e)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && isFolder(e) {
		entries, lerr := listing(ctx, c.r.rep, e.ObjectID)
		for _, in := range entries {
			if err := c.entry(ctx, path.Join(name, in.Name), in); err != nil {
				return err
			}
		}
		err = lerr
	}
	if err != nil {
		c.bad = append(c.bad, Damage{name, c.r.fail("read back "+name, err)})
	}
	return nil
}

// chunks reads those of one entry that were not read yet.
func (c *checker) chunks(ctx context.Context, e *entry) error {
	ids, err := c.r.rep.VerifyObject(ctx, e.ObjectID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err, done := c.read[id]
		if !done {
			_, err = c.r.rep.ContentReader().GetContent(ctx, id)
			c.read[id] = err
		}
		if err != nil {
			return err
		}
	}
	if isFolder(e) {
		return nil
	}
	o, err := c.r.rep.OpenObject(ctx, e.ObjectID)
	if err != nil {
		return err
	}
	defer o.Close()
	if o.Length() != e.FileSize {
		return fmt.Errorf("it has %d bytes, its snapshot says %d", o.Length(), e.FileSize)
	}
	return nil
}
