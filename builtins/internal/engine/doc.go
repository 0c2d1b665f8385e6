// Package engine runs foreign storage engines in processes of their own: libraries for
// cloud stores and chunk repositories are large, start goroutines and timers, and may end
// the process they live in. Here they can hurt one step and nothing else.
//
// # The seam
//
// Start runs this very program again with the argument Verb and joins it by one socket,
// which is the child's standard input and output. Over it goes HTTP/2 of the standard
// library, which frames, multiplexes, cancels single calls and bounds what is under way;
// each verb of package store is one request. The first one, /open, carries the
// configuration and the login: neither ever stands in arguments, the environment or a
// file. A login that changes (a refresh token that was rotated) comes back by /keep, and
// the child goes on only when it was stored.
//
// # What the child may do
//
// It gets an empty environment (but for a HOME that is not there, and no configuration), the root folder as its
// working directory, no descriptor
// but the socket and a pipe for its words, no new privileges, no core dumps and no file
// that it could write (RLIMIT_FSIZE is 0); where runner is root, the child is nobody.
// It ends with its parent. What the machine's other users may read it could read; where
// the store is in a folder of this machine (Config.Local), it keeps the parent's user and
// the right to write.
//
// What it prints goes to the same pipe as its errors, and the last of it is in the error
// of the step. A child that does not answer a ping within Config.Silence is killed.
package engine
