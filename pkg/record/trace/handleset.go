package trace

// handleSet is the handles that are open. They are given out one after another,
// so a word holds 64 neighbours: ten million that are never released take some 5
// MB.
type handleSet struct {
	words map[uint64]uint64 // bits, by handle/64; that of last is in word
	last  uint64
	word  uint64
	full  bool // more than maxOpenWords were needed: what is open is not known any more
}

// maxOpenWords bounds the memory for handles that are spread out on purpose: to
// some 40 MB.
const maxOpenWords = 1 << 20

// at brings the word of a handle to hand, and gives the handle's bit in it.
func (s *handleSet) at(handle uint64) (bit uint64) {
	if at := handle / 64; at != s.last {
		if s.word != 0 {
			s.put()
		}
		s.last, s.word = at, s.words[at]
		delete(s.words, at)
	}
	return 1 << (handle % 64)
}

func (s *handleSet) put() {
	if len(s.words) == maxOpenWords {
		*s = handleSet{full: true}
		return
	}
	if s.words == nil {
		s.words = map[uint64]uint64{}
	}
	s.words[s.last] = s.word
}

func (s *handleSet) add(handle uint64) {
	if s.full {
		return
	}
	bit := s.at(handle)
	s.word |= bit
}

func (s *handleSet) has(handle uint64) bool {
	bit := s.at(handle)
	return s.word&bit != 0
}

// remove reports whether the handle was there.
func (s *handleSet) remove(handle uint64) bool {
	bit := s.at(handle)
	had := s.word&bit != 0
	s.word &^= bit
	return had
}
