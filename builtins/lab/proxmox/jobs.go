package proxmox

import (
	"slices"
	"strconv"
	"strings"
)

func (c *Cluster) getJobs(r *request) (any, error) {
	out := []any{}
	for _, j := range r.s.Jobs {
		out = append(out, j)
	}
	return out, nil
}

func (c *Cluster) getJob(r *request) (any, error) {
	for _, j := range r.s.Jobs {
		if j["id"] == r.get("id") {
			one := map[string]any{}
			for k, v := range j {
				if k != "next-run" {
					one[k] = v
				}
			}
			return one, nil
		}
	}
	return nil, badParam("id", "No such job '"+r.get("id")+"'")
}

func (c *Cluster) postJob(r *request) (any, error) {
	j := r.body()
	j["id"], j["type"] = r.get("id"), "vzdump"
	if p := r.params["exclude-path"]; len(p) > 0 {
		j["exclude-path"] = p
	}
	if v := r.get("prune-backups"); v != "" {
		keep := map[string]any{}
		for _, part := range splitList(v) {
			key, n, _ := strings.Cut(part, "=")
			keep[key] = n
		}
		j["prune-backups"] = keep
	}
	j["next-run"] = c.cfg.Now().Unix() + 3600 // the lab reads no calendar
	return nil, c.change(func(s *state) error {
		s.Jobs = append(s.Jobs, j)
		return nil
	})
}

func (c *Cluster) deleteJob(r *request) (any, error) {
	return nil, c.change(func(s *state) error {
		s.Jobs = slices.DeleteFunc(s.Jobs, func(j map[string]any) bool { return j["id"] == r.get("id") })
		return nil
	})
}

// getIncluded lists what a job takes.
func (c *Cluster) getIncluded(r *request) (any, error) {
	guests, err := c.guests(r.s)
	if err != nil {
		return nil, err
	}
	children := []any{}
	for _, j := range r.s.Jobs {
		vmid, _ := j["vmid"].(string)
		for _, g := range guests {
			if j["id"] != r.get("id") || !contains(splitList(vmid), strconv.Itoa(g.id)) {
				continue
			}
			volumes := []any{}
			for _, d := range g.conf.disks() {
				why := map[bool]string{true: "backup=yes", false: "backup=no"}[d.backup()]
				volumes = append(volumes, map[string]any{"id": strconv.Itoa(g.id) + ":" + d.key, "included": flag(d.backup()), "leaf": 1,
					"name": d.volid, "reason": why})
			}
			children = append(children, map[string]any{"children": volumes, "id": g.id, "leaf": 0, "name": g.name(), "type": g.kind})
		}
	}
	return map[string]any{"children": children}, nil
}
