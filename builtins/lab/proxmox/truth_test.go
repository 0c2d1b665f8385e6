package proxmox

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The lab is held to what a true Proxmox VE 9.2 answered, scenario by scenario
// (testdata/scenarios): it is put into the state of each, every recorded request is
// sent, and status, reason phrase, headers and body must be equal, field by field. What
// may differ is in truth_differs_test.go, each with its reason; the state is in
// truth_stage_test.go.

// call is one recorded call.
type call struct {
	Name    string
	Request struct{ Method, URL, Body, Auth, Token string }
	Status  int
	Reason  string
	Body    any
	Headers map[string]*string
}

func scenarios(t *testing.T) map[string][]call {
	t.Helper()
	files, err := filepath.Glob("testdata/scenarios/*.jsonl.gz")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	out := map[string][]call{}
	for _, file := range files {
		f, err := os.Open(file)
		must(t, err)
		z, err := gzip.NewReader(f)
		must(t, err)
		in := bufio.NewScanner(z)
		in.Buffer(nil, 4<<20)
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl.gz")
		for in.Scan() {
			var c call
			must(t, json.Unmarshal(in.Bytes(), &c))
			out[name] = append(out[name], c)
		}
		must(t, in.Err())
		must(t, f.Close())
	}
	return out
}

func TestTheLabAnswersAsTheTruth(t *testing.T) {
	for name, calls := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			if why := notPlayed[name]; why != "" {
				t.Skip(why)
			}
			t.Parallel()
			s := newTruth(t, name, calls)
			for i, c := range calls {
				if left(c) != "" {
					continue
				}
				s.turn(i)
				s.play(c)
			}
			s.partsOf()
		})
	}
}

// truth is a cluster in the state of a scenario.
type truth struct {
	t     *testing.T
	name  string
	calls []call
	c     *Cluster
	base  string
	ids   map[string]string // recorded task or archive -> that of this run

	info   map[string]shown // volume -> how a list shows it
	made   map[string]bool  // archives that the scenario makes
	later  map[string]bool  // volumes that the last list did not show
	inside []string         // volumes with the bytes of a true archive

	digests [][2]string // recorded and of this run
}

var taskID = regexp.MustCompile(`UPID:[^"/\s?]+:`)

// play sends a recorded request and compares the answer.
func (s *truth) play(c call) {
	s.t.Helper()
	url := s.ours(strings.ReplaceAll(c.Request.URL, "%21", "!"))
	req, err := http.NewRequestWithContext(s.t.Context(), c.Request.Method, s.base+url, strings.NewReader(c.Request.Body))
	must(s.t, err)
	switch {
	case c.Request.Body == "":
		req.Body, req.ContentLength = nil, 0
	case strings.HasPrefix(c.Request.Body, "{"):
		req.Header.Set("Content-Type", "application/json")
	default:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.Request.Auth == "token" {
		token := c.Request.Token
		if token == "" {
			token = "runner@pve!runner"
		}
		req.Header.Set("Authorization", "PVEAPIToken="+token+"=s")
	}
	s.settle(c)
	s.appear(c)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if reason := strings.TrimPrefix(resp.Status, fmt.Sprint(resp.StatusCode, " ")); resp.StatusCode != c.Status ||
		masked(reason) != masked(c.Reason) {
		s.t.Errorf("%s %s %s: got %d %q, want %d %q", c.Name, c.Request.Method, c.Request.URL, resp.StatusCode, reason, c.Status, c.Reason)
		return
	}
	s.headers(c, resp)
	var got any = ""
	if len(raw) > 0 {
		must(s.t, json.Unmarshal(raw, &got))
	}
	s.learn(c, got)
	if strings.Contains(c.Request.URL, "/log") && c.Status == 200 {
		s.log(c, got)
		return
	}
	want := s.mapped(c.Body)
	body, _ := want.(map[string]any)
	if d, _ := body["data"].(map[string]any); d["status"] == "running" && strings.HasSuffix(c.Request.URL, "/status") &&
		strings.Contains(c.Request.URL, "/tasks/") {
		d["status"] = "stopped" // tasks of the lab may be done by then
		g := got.(map[string]any)["data"].(map[string]any)
		g["status"] = "stopped"
		delete(g, "exitstatus")
	}
	s.unsized(c, got)
	s.unsized(c, want)
	for _, d := range s.differences("", got, want) {
		s.t.Errorf("%s %s %s: %s", c.Name, c.Request.Method, c.Request.URL, d)
	}
}

// unsized takes the sizes of archives away that the lab made itself: it packs other
// disks, with another program.
func (s *truth) unsized(c call, body any) {
	m, _ := body.(map[string]any)
	own := func(name string) bool {
		stem, _, _ := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ".")
		for _, now := range s.ids {
			if now == stem && stem != "" {
				return true
			}
		}
		return slices.ContainsFunc(s.inside, func(volid string) bool { return strings.Contains(volid+".", "/"+stem+".") })
	}
	switch data := m["data"].(type) {
	case map[string]any:
		if path, ok := data["path"].(string); ok && own(path) {
			delete(data, "size")
		}
	case []any:
		for _, e := range data {
			if v, ok := e.(map[string]any); ok && own(fmt.Sprint(v["volid"])) {
				delete(v, "size")
			}
		}
	}
}

// headers holds those that the recording says, or that are always there.
func (s *truth) headers(c call, resp *http.Response) {
	s.t.Helper()
	want := map[string]string{"Server": "pve-api-daemon/3.0", "Content-Type": "application/json;charset=UTF-8", "Cache-Control": "max-age=0",
		"Pragma": "no-cache"}
	for k, v := range c.Headers {
		k = http.CanonicalHeaderKey(k)
		want[k] = ""
		if v != nil {
			want[k] = *v
		}
	}
	for k, v := range want {
		if got := resp.Header.Get(k); got != v && k != "Connection" {
			s.t.Errorf("%s: header %s is %q, want %q", c.Name, k, got, v)
		}
	}
	if c.Status >= 400 && !resp.Close {
		s.t.Errorf("%s: the connection stays open after %d", c.Name, c.Status)
	}
}

// ours puts the names that tasks and archives have in this run into a text.
func (s *truth) ours(text string) string {
	for was, now := range s.ids {
		text = strings.ReplaceAll(text, was, now)
	}
	return text
}

func (s *truth) mapped(body any) any {
	raw, err := json.Marshal(body)
	must(s.t, err)
	var out any
	must(s.t, json.Unmarshal([]byte(s.ours(string(raw))), &out))
	return out
}

// learn notes the task that a call began.
func (s *truth) learn(c call, got any) {
	s.t.Helper()
	if now, was := dataUPID(got), dataUPID(c.Body); was != "" && now != "" {
		s.ids[was] = now
	}
}

// settle waits until a task is as far as the recorded answer says.
func (s *truth) settle(c call) {
	m, _ := c.Body.(map[string]any)
	data, _ := m["data"].(map[string]any)
	_, ended := data["exitstatus"]
	lines := logLines(c.Body)
	ended = ended || len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "TASK ")
	if c.Request.Method == "GET" && !strings.Contains(c.Request.URL, "/tasks/") {
		for _, now := range s.ids { // what follows a task in the recording follows it here
			if strings.HasPrefix(now, "UPID:") && !s.running(c) {
				_, _ = s.c.Wait(s.t.Context(), now)
			}
		}
	}
	if !ended && s.running(c) {
		return
	}
	for _, was := range taskID.FindAllString(strings.ReplaceAll(c.Request.URL, "%21", "!"), -1) {
		if now := s.ids[was]; now != "" {
			_, err := s.c.Wait(s.t.Context(), now)
			must(s.t, err)
			s.archivesOf(was, now)
		}
	}
}

var archiveLine = regexp.MustCompile(`creating vzdump archive '\S+/(vzdump-\S+?)\.(?:vma|tar)`)

// archivesOf notes what the archives of a task are called here.
func (s *truth) archivesOf(was, now string) {
	t, _ := s.c.findTask(now)
	lines, err := t.lines()
	must(s.t, err)
	ours := archiveLine.FindAllStringSubmatch(strings.Join(lines, "\n"), -1)
	var theirs [][]string
	for _, c := range s.calls {
		if strings.Contains(strings.ReplaceAll(c.Request.URL, "%21", "!"), was) && strings.Contains(c.Request.URL, "/log") {
			for _, m := range archiveLine.FindAllStringSubmatch(strings.Join(logLines(c.Body), "\n"), -1) {
				if !slices.ContainsFunc(theirs, func(o []string) bool { return o[1] == m[1] }) {
					theirs = append(theirs, m)
				}
			}
		}
	}
	for i := range min(len(ours), len(theirs)) {
		s.ids[theirs[i][1]] = ours[i][1]
	}
}

// log compares the lines of a log. The recording may have been asked for them before
// the task was as far as it is here.
func (s *truth) log(c call, got any) {
	s.t.Helper()
	ours, theirs := logLines(got), logLines(s.mapped(c.Body))
	ended := len(theirs) > 0 && strings.HasPrefix(theirs[len(theirs)-1], "TASK ")
	later := strings.Contains(c.Request.URL, "start=") && !strings.Contains(c.Request.URL, "start=0")
	if id := taskID.FindString(s.ours(strings.ReplaceAll(c.Request.URL, "%21", "!"))); later && id != "" {
		if t, _ := s.c.findTask(id); t != nil { // lines that are there by chance move the others
			all, err := t.lines()
			must(s.t, err)
			ours = all
		}
	}
	for _, list := range []*[]string{&ours, &theirs} {
		*list = slices.DeleteFunc(*list, func(l string) bool {
			return slices.ContainsFunc(chance, func(re *regexp.Regexp) bool { return re.MatchString(l) })
		})
	}
	if later && len(theirs) > 0 {
		for ; len(ours) > len(theirs) && !begins(ours, theirs); ours = ours[1:] {
		}
	}
	if len(ours) > len(theirs) && !ended {
		ours = ours[:len(theirs)]
	}
	compareLog(s.t, c.Name, ours, theirs)
}
