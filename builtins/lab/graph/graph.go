// Package graph is the lab's OneDrive: the part of Microsoft Graph that stores files, the
// tokens of Microsoft's login, and the SharePoint host behind upload and download URLs.
// It was written after Microsoft's documentation and after what rclone v1.76 sends and
// expects; no answer of the true service was recorded here, so every call of it has
// never been seen true.
//
// State is in one folder: drive/ holds the files, versions/ what was replaced, recycle/
// what was deleted (both count against the quota, as they do there), hashes/ the
// quickXorHash of each file, sessions/ uploads that are under way. Ids are made of paths:
// nothing here is renamed.
//
// Names are told apart without regard to case, as SharePoint does it, and the names that
// it refuses are refused.
//
// Faults, On = "graph METHOD /path": answer STATUS [CODE], limit [SECONDS], cut (the work
// is done, the answer is lost), cut-before, hang, flip (a part is stored with a flipped
// bit), other (another file's bytes), late N (a list leaves out what is new, N times),
// portal (a page of HTML), gone (the upload session is not known any more), short.
package graph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/internal/serve"
)

// The hosts that one server answers for.
const (
	API        = "graph.microsoft.com"
	Login      = "login.microsoftonline.com"
	SharePoint = "contoso-my.sharepoint.com"
)

// DriveID is the only drive.
const DriveID = "b!lab0drive"

// Server is the service with one account.
type Server struct {
	Dir      string
	ClientID string // of the app registration
	Refresh  string // the first refresh token
	Faults   *fault.Set
	Now      func() time.Time

	// Quota is the drive's size in bytes.
	Quota int64

	mu sync.Mutex
}

// state is state.json.
type state struct {
	Revoked bool      `json:"revoked"`
	Expired int       `json:"expired"` // access tokens up to this number do not hold any more
	Serial  int       `json:"serial"`  // counts everything that gets a number
	Bearer  bool      `json:"bearer"`  // upload and download URLs want a token, as from 2027-04-01
	Quota   int64     `json:"quota"`
	Device  string    `json:"device"`  // device code that is waited for
	Allowed bool      `json:"allowed"` // somebody typed the user code
	Since   time.Time `json:"since"`
}

const maxBody = 1 << 20 // bytes of a request that is no file

func (s *Server) load() (state, error) {
	st := state{Quota: s.Quota}
	raw, err := os.ReadFile(filepath.Join(s.Dir, "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &st)
	}
	return st, err
}

func (s *Server) save(st state) error {
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	draft := filepath.Join(s.Dir, "state.json.new")
	if err := os.WriteFile(draft, raw, 0o644); err != nil {
		return err
	}
	return os.Rename(draft, filepath.Join(s.Dir, "state.json"))
}

// edit changes what the service knows.
func (s *Server) edit(change func(*state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.load()
	if err != nil {
		return err
	}
	change(&st)
	return s.save(st)
}

// Revoke makes every token worthless, as an administrator does it.
func (s *Server) Revoke() error {
	return s.edit(func(st *state) { st.Revoked, st.Expired = true, st.Serial })
}

// Expire ends the access tokens; refresh tokens still hold.
func (s *Server) Expire() error { return s.edit(func(st *state) { st.Expired = st.Serial }) }

// Retire ends pre-authenticated URLs, as Microsoft does on 2027-04-01.
func (s *Server) Retire(yes bool) error { return s.edit(func(st *state) { st.Bearer = yes }) }

// SetQuota changes the drive's size.
func (s *Server) SetQuota(bytes int64) error { return s.edit(func(st *state) { st.Quota = bytes }) }

// Allow is the person who types the user code of a device login.
func (s *Server) Allow() error { return s.edit(func(st *state) { st.Allowed = true }) }

// Files is the folder of what the drive holds.
func (s *Server) Files() string { return filepath.Join(s.Dir, "drive") }

// Recycled is the folder of what was deleted there.
func (s *Server) Recycled() string { return filepath.Join(s.Dir, "recycle") }

// Serve answers until the listener is closed or ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := os.MkdirAll(s.Files(), 0o755); err != nil {
		return err
	}
	return serve.HTTP(ctx, l, http.HandlerFunc(s.serve))
}

// trouble is an error as Graph words it.
type trouble struct {
	status int
	code   string
	text   string
}

func (t *trouble) Error() string { return t.code + ": " + t.text }

var (
	notFound = &trouble{404, "itemNotFound", "The resource could not be found."}
	noAccess = &trouble{401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."}
)

// request is one call, with the deeds that are due.
type request struct {
	*Server
	w     http.ResponseWriter
	r     *http.Request
	deeds map[string]string
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	deeds, err := s.Faults.Due("graph "+r.Method+" "+r.URL.Path, "answer", "limit", "cut", "cut-before", "hang", "flip", "other", "late",
		"portal",
		"gone", "short")
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	q := &request{s, w, r, map[string]string{}}
	for _, d := range deeds {
		q.deeds[d.Name] = d.Args
	}
	if q.before() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = q.route()
	if _, due := q.deeds["cut"]; due {
		panic(http.ErrAbortHandler)
	}
	var t *trouble
	if errors.As(err, &t) {
		q.fail(t)
	} else if err != nil {
		q.fail(&trouble{500, "generalException", err.Error()})
	}
}

// before does the deeds that leave the work undone.
func (q *request) before() (over bool) {
	for name, args := range q.deeds {
		switch name {
		case "answer":
			status, code, _ := strings.Cut(args, " ")
			n, err := strconv.Atoi(status)
			if err != nil {
				n = 500
			}
			q.fail(&trouble{n, code, code})
		case "limit":
			if args != "" {
				q.w.Header().Set("Retry-After", args)
			}
			q.fail(&trouble{429, "activityLimitReached", "The request has been throttled"})
		case "cut-before":
			panic(http.ErrAbortHandler)
		case "hang":
			<-q.r.Context().Done()
		case "portal":
			q.w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(q.w, "<html><body>Welcome to our hotel. Please log in.</body></html>")
		default:
			continue
		}
		return true
	}
	return false
}

func (q *request) fail(t *trouble) {
	if t == noAccess {
		q.w.Header().Set("WWW-Authenticate", `Bearer realm="", error="expired_token"`)
	}
	q.answer(t.status, map[string]any{"error": map[string]any{"code": t.code, "message": t.text,
		"innerError": map[string]string{"date": q.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": "lab"}}})
}

func (q *request) answer(status int, v any) {
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(status)
	_ = json.NewEncoder(q.w).Encode(v) // the client sees that it is gone
}

func (q *request) route() error {
	host, _, err := net.SplitHostPort(q.r.Host)
	if err != nil {
		host = q.r.Host
	}
	switch strings.ToLower(host) {
	case Login:
		return q.login()
	case SharePoint:
		return q.sharePoint()
	case API:
		if err := q.bearer("graph"); err != nil {
			return err
		}
		return q.drive()
	}
	return &trouble{404, "notFound", "no such host"}
}

// bearer holds that the call carries a token for an audience.
func (q *request) bearer(audience string) error {
	token, ok := strings.CutPrefix(q.r.Header.Get("Authorization"), "Bearer ")
	st, err := q.load()
	if err != nil {
		return err
	}
	number, own := strings.CutPrefix(token, audience+"."+q.Refresh+".")
	if n, err := strconv.Atoi(number); !ok || !own || err != nil || n <= st.Expired {
		return noAccess
	}
	return nil
}

// login is the token endpoint and the device login.
func (q *request) login() error {
	if err := q.r.ParseForm(); err != nil {
		return err
	}
	refuse := func(code, text string) error {
		q.answer(400, map[string]string{"error": code, "error_description": text})
		return nil
	}
	if q.r.PostForm.Get("client_id") != q.ClientID {
		return refuse("unauthorized_client", "AADSTS700016: Application with identifier was not found in the directory.")
	}
	st, err := q.load()
	if err != nil {
		return err
	}
	if strings.HasSuffix(q.r.URL.Path, "/oauth2/v2.0/devicecode") {
		st.Device, st.Allowed, st.Since = fmt.Sprintf("device-%d", st.Serial), false, q.Now()
		st.Serial++
		q.answer(200, map[string]any{"device_code": st.Device, "user_code": "LABC0DE42", "verification_uri": "https://microsoft.com/devicelogin",
			"expires_in": 900, "interval": 1,
			"message": "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code LABC0DE42 to " +
				"authenticate."})
		return q.save(st)
	}
	if !strings.HasSuffix(q.r.URL.Path, "/oauth2/v2.0/token") {
		return notFound
	}
	audience := "graph"
	switch q.r.PostForm.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		switch {
		case q.r.PostForm.Get("device_code") != st.Device:
			return refuse("expired_token", "AADSTS70020: The provided value for the input parameter 'device_code' is not valid.")
		case !st.Allowed:
			return refuse("authorization_pending", "AADSTS70016: OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
		}
		st.Device, st.Allowed, st.Revoked = "", false, false
	case "refresh_token":
		// As at Microsoft, a token that was rotated still holds.
		if st.Revoked || !strings.HasPrefix(q.r.PostForm.Get("refresh_token"), q.Refresh) {
			return refuse("invalid_grant", "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is needed.")
		}
		if strings.Contains(q.r.PostForm.Get("scope"), "sharepoint.com") {
			audience = "sharepoint"
		}
	default:
		return refuse("unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")
	}
	st.Serial++
	access, refresh := fmt.Sprintf("%s.%s.%d", audience, q.Refresh, st.Serial), fmt.Sprintf("%s.%d", q.Refresh, st.Serial)
	if err := q.save(st); err != nil {
		return err
	}
	q.answer(200, map[string]any{"token_type": "Bearer", "scope": "Files.ReadWrite offline_access", "expires_in": 3600, "ext_expires_in": 3600,
		"access_token": access, "refresh_token": refresh})
	return nil
}

func (s *Server) token(kind string, serial int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, serial))
	return hex.EncodeToString(sum[:])
}

// sharePoint serves the URLs that the API gave out.
func (q *request) sharePoint() error {
	st, err := q.load()
	if err != nil {
		return err
	}
	query, sent := q.r.URL.Query(), q.r.Header.Get("Authorization") != ""
	switch pre := query.Get("tempauth") != ""; {
	case pre && (sent || st.Bearer):
		return &trouble{401, "unauthenticated", "a pre-authenticated URL and a token do not go together"}
	case !pre:
		if err := q.bearer("sharepoint"); err != nil {
			return err
		}
	}
	if id, ok := strings.CutPrefix(q.r.URL.Path, "/uploads/"); ok {
		return q.upload(st, id)
	}
	if name, ok := strings.CutPrefix(q.r.URL.Path, "/download/"); ok {
		return q.download(name)
	}
	return notFound
}

// urlOf is a URL of the SharePoint host, in the form of the day.
func (q *request) urlOf(st state, path string) string {
	u := url.URL{Scheme: "https", Host: SharePoint, Path: path}
	if !st.Bearer {
		u.RawQuery = "tempauth=v1.lab"
	}
	return u.String()
}
