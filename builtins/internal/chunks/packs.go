package chunks

import (
	"context"
	"slices"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
)

// Packs names the blobs that the files in folders need, beside indexes, each once and sorted. None of the blobs is
// read but those that hold lists: that all are there is not looked at. E_NOT_FOUND where a folder has no snapshot.
func (r *Repository) Packs(ctx context.Context, folders []string) (packs []string, err error) {
	const doing = "list the packs"
	defer r.rescue(doing, &err)
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	p := packer{r: r, objects: map[object.ID]bool{}, contents: map[content.ID]bool{}, packs: map[blob.ID]bool{}}
	for _, dir := range folders {
		r.mu.Lock()
		have := r.folders[clean(dir)]
		r.mu.Unlock()
		if have == nil {
			return nil, r.missing(doing, dir)
		}
		if err := p.entry(ctx, have.newest().RootEntry); err != nil {
			return nil, r.fail(doing, err)
		}
	}
	packs = []string{}
	for id := range p.packs {
		packs = append(packs, string(id))
	}
	slices.Sort(packs)
	return packs, nil
}

// packer walks objects, each once: an unchanged disk of the next night is the same one.
type packer struct {
	r        *Repository
	objects  map[object.ID]bool
	contents map[content.ID]bool
	packs    map[blob.ID]bool
}

func (p *packer) entry(ctx context.Context, e *entry) error {
	if err := ctx.Err(); err != nil || p.objects[e.ObjectID] {
		return err
	}
	p.objects[e.ObjectID] = true
	ids, err := p.r.rep.VerifyObject(ctx, e.ObjectID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if p.contents[id] {
			continue
		}
		p.contents[id] = true
		info, err := p.r.rep.ContentInfo(ctx, id)
		if err != nil {
			return err
		}
		p.packs[info.PackBlobID] = true
	}
	if !isFolder(e) {
		return nil
	}
	entries, err := listing(ctx, p.r.rep, e.ObjectID)
	if err != nil {
		return err
	}
	for _, in := range entries {
		if err := p.entry(ctx, in); err != nil {
			return err
		}
	}
	return nil
}
