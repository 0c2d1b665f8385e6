package proxmox

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// keepRule is a retention policy: how many backups of each period stay.
type keepRule struct {
	keepAll bool
	n       map[string]int
	order   []string // as written
}

var keepPeriods = []struct{ name, layout string }{
	{"keep-last", ""}, {"keep-hourly", "2006-01-02 15"}, {"keep-daily", "2006-01-02"},
	{"keep-weekly", "week"}, {"keep-monthly", "2006-01"}, {"keep-yearly", "2006"},
}

// parseKeep reads "keep-last=3,keep-weekly=2". The empty one keeps all.
func parseKeep(s string) (keepRule, error) {
	k := keepRule{n: map[string]int{}}
	for _, part := range strings.Split(s, ",") {
		if part == "" {
			continue
		}
		name, v, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || !knownKeep(name) {
			return k, fmt.Errorf("format error\n%s: invalid value or property", name)
		}
		if name == "keep-all" {
			k.keepAll = n == 1
			continue
		}
		k.n[name] = n
		k.order = append(k.order, part)
	}
	if k.keepAll && k.sum() > 0 {
		return k, failf("keep-all cannot be set together with other options.")
	}
	return k, nil
}

func knownKeep(name string) bool {
	for _, p := range keepPeriods {
		if p.name == name {
			return true
		}
	}
	return name == "keep-all"
}

func (k keepRule) all() bool { return k.keepAll || k.sum() == 0 }

func (k keepRule) sum() int {
	n := 0
	for _, v := range k.n {
		n += v
	}
	return n
}

func (k keepRule) String() string { return strings.Join(k.order, ", ") }

type marked struct {
	archive
	mark string // keep, remove, protected
}

// mark says what a rule does with each archive, by guest. vmid 0 and kind ""
// mean all.
func mark(list []archive, k keepRule, zone *time.Location, vmid int, kind string) []marked {
	groups := map[string][]int{}
	var out []marked
	for _, a := range list {
		if (vmid != 0 && a.vmid != vmid) || (kind != "" && a.kind != kind) {
			continue
		}
		m := marked{a, "remove"}
		if k.all() {
			m.mark = "keep"
		}
		if a.protected {
			m.mark = "protected"
		} else {
			group := a.kind + "/" + strconv.Itoa(a.vmid)
			groups[group] = append(groups[group], len(out))
		}
		out = append(out, m)
	}
	if !k.all() {
		for _, group := range groups {
			markGroup(out, group, k, zone)
		}
	}
	return out
}

// markGroup keeps the newest of each period; periods that an earlier rule has
// covered do not count for a later one.
func markGroup(out []marked, group []int, k keepRule, zone *time.Location) {
	sort.Slice(group, func(i, j int) bool { return out[group[i]].ctime.After(out[group[j]].ctime) })
	kept := map[int]bool{}
	for _, p := range keepPeriods {
		seen := map[string]bool{}
		for _, i := range group {
			if kept[i] {
				seen[period(out[i].ctime.In(zone), p.layout, i)] = true
			}
		}
		left := k.n[p.name]
		for _, i := range group {
			id := period(out[i].ctime.In(zone), p.layout, i)
			if left == 0 || kept[i] || seen[id] {
				continue
			}
			seen[id], kept[i] = true, true
			out[i].mark = "keep"
			left--
		}
	}
}

func period(t time.Time, layout string, i int) string {
	switch layout {
	case "":
		return strconv.Itoa(i)
	case "week":
		y, w := t.ISOWeek()
		return fmt.Sprintf("%d-%d", y, w)
	}
	return t.Format(layout)
}
