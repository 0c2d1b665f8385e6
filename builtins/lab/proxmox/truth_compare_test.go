package proxmox

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// begins reports whether lines begin with others.
func begins(lines, with []string) bool {
	for i := range with {
		if mask(lines[i]) != mask(with[i]) {
			return false
		}
	}
	return true
}

// differences compares two values field by field.
func (s *truth) differences(at string, got, want any) (out []string) {
	if strings.HasSuffix(at, ".digest") {
		s.digests = append(s.digests, [2]string{fmt.Sprint(want), fmt.Sprint(got)})
	}
	if why := s.may(at); why != "" {
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an object", at, got)}
		}
		for _, k := range sortedKeys(w) {
			if _, ok := g[k]; !ok && s.may(at+"."+k) == "" {
				out = append(out, fmt.Sprintf("%s.%s is missing, want %v", at, k, w[k]))
			} else if ok {
				out = append(out, s.differences(at+"."+k, g[k], w[k])...)
			}
		}
		for _, k := range sortedKeys(g) {
			if _, ok := w[k]; !ok && s.may(at+"."+k) == "" {
				out = append(out, fmt.Sprintf("%s.%s is %v, want it missing", at, k, g[k]))
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: %s", at, apart(keysOf(got), keysOf(w)))}
		}
		g, w = sorted(g), sorted(w)
		for i := range w {
			out = append(out, s.differences(at+"[]", g[i], w[i])...)
		}
		return out
	}
	if masked(fmt.Sprint(got)) != masked(fmt.Sprint(want)) || fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
		out = append(out, fmt.Sprintf("%s is %T %v, want %T %v", at, got, got, want, want))
	}
	return out
}

// partsOf holds that digests are equal where the recorded ones are, and nowhere else:
// each is that of one part of a file.
func (s *truth) partsOf() {
	s.t.Helper()
	if s.name != "firewall-export-full" {
		return
	}
	if len(s.digests) < 40 {
		s.t.Errorf("%d digests were seen", len(s.digests))
	}
	there, here := map[string]string{}, map[string]string{}
	for _, d := range s.digests {
		if was, ok := there[d[0]]; ok && was != d[1] {
			s.t.Errorf("what has one digest in the recording has two here: %s and %s", was, d[1])
		}
		if was, ok := here[d[1]]; ok && was != d[0] {
			s.t.Errorf("what has one digest here has two in the recording: %s and %s", was, d[0])
		}
		there[d[0]], here[d[1]] = d[1], d[0]
	}
}

// sorted brings entries of lists without an order of their own into one.
func sorted(list []any) []any {
	out := slices.Clone(list)
	sort.SliceStable(out, func(i, j int) bool { return keyOf(out[i]) < keyOf(out[j]) })
	return out
}

func keyOf(e any) string {
	m, ok := e.(map[string]any)
	if !ok {
		return fmt.Sprint(e)
	}
	for _, k := range []string{"pos", "volid", "vmid", "upid", "iface", "cidr", "name", "group", "storage", "zone", "vnet", "id", "ipam"} {
		if v, ok := m[k]; ok {
			return fmt.Sprintf("%20v", v)
		}
	}
	return fmt.Sprint(e)
}

func keysOf(list any) (keys []string) {
	l, ok := list.([]any)
	if !ok {
		return []string{fmt.Sprint(list)}
	}
	for _, e := range l {
		keys = append(keys, strings.TrimSpace(keyOf(e)))
	}
	return keys
}

func apart(got, want []string) string {
	more := slices.DeleteFunc(slices.Clone(got), func(k string) bool { return slices.Contains(want, k) })
	less := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return slices.Contains(got, k) })
	return fmt.Sprintf("%d entries, want %d: beyond them %q, missing %q", len(got), len(want), more, less)
}
