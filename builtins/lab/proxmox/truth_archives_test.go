package proxmox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// archives puts those that the scenario began with on the storage, each with its
// recorded size and notes; one whose inside is asked for has the bytes of a true archive.
func (s *truth) archives() {
	made := map[string]bool{}
	posted := map[string]bool{}
	for _, c := range s.calls {
		if c.Request.Method == "POST" {
			posted[dataUPID(c.Body)] = true
		}
	}
	for _, c := range s.calls {
		for _, id := range taskID.FindAllString(strings.ReplaceAll(c.Request.URL, "%21", "!"), -1) {
			if posted[id] && strings.Contains(c.Request.URL, "/log") {
				for _, m := range archiveLine.FindAllStringSubmatch(strings.Join(logLines(c.Body), "\n"), -1) {
					made[m[1]] = true
				}
			}
		}
	}
	dump := s.c.node("pve1", "srv/backup/dump")
	must(s.t, os.MkdirAll(dump, 0o755))
	s.info, s.made = map[string]shown{}, made
	for _, c := range s.calls {
		m, _ := c.Body.(map[string]any)
		list, _ := m["data"].([]any)
		if !strings.Contains(c.Request.URL, "/storage/backup/content?") {
			continue
		}
		for _, e := range list {
			v := e.(map[string]any)
			notes, _ := v["notes"].(string)
			s.info[v["volid"].(string)] = shown{int64(v["size"].(float64)), notes, v["protected"] == 1.0}
		}
	}
	for _, c := range s.calls { // those whose inside is asked for
		if _, volid, ok := strings.Cut(c.Request.URL, "extractconfig?volume="); ok && c.Status == 200 {
			s.true(volid, dump)
		}
		for _, key := range []string{`"archive":"`, `"ostemplate":"`} {
			if _, rest, ok := strings.Cut(c.Request.Body, key); ok {
				volid, _, _ := strings.Cut(rest, `"`)
				s.true(volid, dump)
			}
		}
	}
	for _, c := range s.calls { // those that are asked for by name
		m, _ := c.Body.(map[string]any)
		i := strings.Index(c.Request.URL, "/content/backup:backup")
		if i < 0 || c.Status >= 400 {
			continue
		}
		volid := strings.ReplaceAll(c.Request.URL[i+len("/content/"):], "%2F", "/")
		if _, known := s.info[volid]; !known {
			v, _ := m["data"].(map[string]any)
			size, _ := v["size"].(float64)
			notes, _ := v["notes"].(string)
			s.info[volid] = shown{int64(size), notes, v["protected"] == 1.0}
		}
		s.put(volid, c.Request.Method == "PUT")
	}
}

// shown is an archive as a list shows it.
type shown struct {
	size      int64
	notes     string
	protected bool
}

// put puts an archive on the storage, unless the scenario makes it itself.
func (s *truth) put(volid string, open bool) {
	s.t.Helper()
	base, ok := strings.CutPrefix(volid, "backup:backup/")
	stem, _, _ := strings.Cut(base, ".")
	path := filepath.Join(s.c.node("pve1", "srv/backup/dump"), base)
	if !ok || s.made[stem] || exists(path) {
		return
	}
	must(s.t, os.WriteFile(path, nil, 0o600))
	must(s.t, os.Truncate(path, s.info[volid].size))
	s.side(path, volid, open)
}

// side puts an archive's notes and protection beside it.
func (s *truth) side(path, volid string, open bool) {
	s.t.Helper()
	if notes := s.info[volid].notes; notes != "" {
		must(s.t, os.WriteFile(path+".notes", []byte(notes), 0o600))
	}
	if s.info[volid].protected && !open {
		must(s.t, os.WriteFile(path+".protected", nil, 0o600))
	}
}

// appear puts the archives there that a recorded list shows: those of before, and those
// that others made meanwhile. One that the scenario made without looking at its task is
// the one that the lab made of the same guest.
func (s *truth) appear(c call) {
	m, _ := c.Body.(map[string]any)
	list, _ := m["data"].([]any)
	if !strings.Contains(c.Request.URL, "/storage/backup/content?") || c.Request.Method != "GET" {
		return
	}
	own, err := s.c.Archives("pve1", "backup")
	must(s.t, err)
	for _, e := range list {
		v := e.(map[string]any)
		volid := v["volid"].(string)
		base := strings.TrimPrefix(volid, "backup:backup/")
		stem, _, _ := strings.Cut(base, ".")
		if s.ids[stem] != "" || s.made[stem] {
			continue
		}
		mine := slices.IndexFunc(own, func(path string) bool {
			name, _, _ := strings.Cut(filepath.Base(path), ".")
			_, recorded := s.info["backup:backup/"+filepath.Base(path)]
			mapped := false
			for _, now := range s.ids {
				mapped = mapped || now == name
			}
			return !recorded && !mapped && strings.HasPrefix(name, stem[:strings.LastIndex(stem, "-20")+1])
		})
		if mine >= 0 && s.later[volid] {
			s.ids[stem], _, _ = strings.Cut(filepath.Base(own[mine]), ".")
			continue
		}
		s.put(volid, false)
	}
	s.later = map[string]bool{}
	for volid := range s.info { // what is in no list so far was made after it
		s.later[volid] = !slices.ContainsFunc(list, func(e any) bool { return e.(map[string]any)["volid"] == volid })
	}
}

// true puts the bytes of a true archive of the same guest under a name.
func (s *truth) true(volid, dump string) {
	s.t.Helper()
	base, _ := strings.CutPrefix(strings.NewReplacer("%2F", "/", "%3A", ":").Replace(volid), "backup:backup/")
	parts := strings.Split(base, "-")
	if len(parts) < 3 {
		s.t.Fatalf("%s is not an archive's name", volid)
	}
	_, ext, _ := strings.Cut(base, ".")
	found, err := filepath.Glob("../../internal/format/archive/testdata/pve/*/vzdump-" + parts[1] + "-" + parts[2] + "-*." + ext)
	must(s.t, err)
	if len(found) == 0 {
		s.t.Fatalf("there is no true archive for %s", volid)
	}
	raw, err := os.ReadFile(found[0])
	must(s.t, err)
	if stem, _, _ := strings.Cut(base, "."); !s.made[stem] {
		must(s.t, os.WriteFile(filepath.Join(dump, base), raw, 0o600))
		s.side(filepath.Join(dump, base), "backup:backup/"+base, false)
		s.inside = append(s.inside, "backup:backup/"+base)
	}
}
