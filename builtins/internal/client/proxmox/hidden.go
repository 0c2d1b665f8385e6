package proxmox

import (
	"context"
	"slices"
	"sync"
)

// probes bounds how many VMIDs are asked about one by one.
const probes = 1000

// Hidden finds guests that exist and that no list shows to the token: an entry of its
// own in the ACL, NoAccess for one, takes a guest out of every list without a word. Asked
// are the VMIDs that are given, those in the gaps of what is listed and shortly behind
// it, and those before the first free one. Whole is false when there were too many
// to ask for all.
func (c *Client) Hidden(ctx context.Context, listed []Guest, also []Int) (hidden []Int, whole bool, err error) {
	seen := map[Int]bool{}
	for _, g := range listed {
		seen[g.VMID] = true
	}
	first, err := c.NextID(ctx)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ask := candidates(listed, Int(first), also)
	whole = len(ask) <= probes
	ask = ask[:min(len(ask), probes)]
	found := make([]bool, len(ask))
	queue := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range exportAtOnce {
		wg.Go(func() {
			for i := range queue {
				taken, ferr := c.hides(ctx, ask[i])
				mu.Lock()
				if found[i] = taken; err == nil && ferr != nil {
					err = ferr
					cancel() // a node that does not answer is not asked hundreds of times
				}
				mu.Unlock()
			}
		})
	}
	for i := range ask {
		if ctx.Err() != nil {
			break
		}
		queue <- i
	}
	close(queue)
	wg.Wait()
	for i, id := range ask {
		if found[i] && !seen[id] {
			hidden = append(hidden, id)
		}
	}
	slices.Sort(hidden)
	return hidden, whole, err
}

// hides reports whether a VMID is in use by a guest that the token may not see: one that
// it may see was made since the lists were asked for.
func (c *Client) hides(ctx context.Context, id Int) (bool, error) {
	taken, err := c.Taken(ctx, id)
	if err != nil || !taken {
		return false, err
	}
	visible, err := c.May(ctx, Right{vmPath(id), []string{"VM.Audit"}})
	return !visible, err
}

// candidates are the VMIDs worth asking for: those given first, then by their distance
// from what is listed.
func candidates(listed []Guest, first Int, also []Int) (out []Int) {
	have := map[Int]bool{}
	for _, g := range listed {
		have[g.VMID] = true
	}
	add := func(id Int) {
		if id >= lowestVMID && !have[id] {
			have[id] = true
			out = append(out, id)
		}
	}
	for _, id := range also {
		add(id)
	}
	below := func() { // all of them are taken, by whom ever, unless the cluster begins higher
		for id := Int(lowestVMID); id < first && len(out) <= probes; id++ {
			add(id)
		}
	}
	if first-lowestVMID <= probes/2 {
		below()
	}
	ids := []Int{lowestVMID}
	for _, g := range listed {
		ids = append(ids, g.VMID)
	}
	const behind = 20
	last := slices.Max(ids)
	for step := Int(1); len(out) <= probes && step <= last+behind; step++ {
		for _, id := range ids {
			if id+step <= last+behind {
				add(id + step)
			}
			add(id - step)
		}
	}
	below()
	return out
}

const lowestVMID = 100
