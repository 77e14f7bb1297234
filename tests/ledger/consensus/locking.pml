/* The locking rule of Tendermint (Algorithm 1 of arXiv:1807.04938) for four authorities, one of them Byzantine.

   Three correct authorities go through ROUNDS rounds. Whatever the network and the Byzantine one can do is left open:
   a proposal may come to anybody, for any value, at any time; a vote that was cast may be seen or not; the Byzantine
   authority votes for everything, to everybody. So a quorum of three for v may be seen as soon as two correct ones
   voted v. The values are two; L## is a line of the algorithm. Safety: never can both values be decided.

   Nothing tells the three correct authorities apart, nor the two values: so after each step the authorities are put in
   order, and A is the value that is voted for first. That leaves a twelfth of the states, and loses none.

   Each mutant below is a mistake that forks; without any of them the search must find nothing.

     -DIGNORE_LOCK          L22: prevote a fresh value whatever the lock
     -DCOMPARE_ROUND        L28: compare the lock with the round in progress, not with the valid round
     -DNO_PROOF_OF_LOCK     L28: believe a re-proposal without Q prevotes at its valid round
     -DNEVER_LOCK           L38: precommit without locking
     -DUNLOCK               L54: forget the lock at a new round
     -DFORGET_IN_A_CRASH    rule 10: forget the lock at any moment
     -DQUORUM=2             Q off by one
     -DPRECOMMIT_UNPROVEN   L36: precommit what fewer than Q prevoted
     -DVOTE_AGAIN           rule 10: prevote twice in one round
*/

#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef QUORUM
#define QUORUM 3
#endif
#define BYZANTINE 1
#define CORRECT 3

#define NOTHING 0
#define NIL 1
#define A 2
#define B 3

#define PROPOSE 0
#define PREVOTE 1
#define PRECOMMIT 2

#define AT(who, when) ((when) * CORRECT + (who))
#define VOTES(votes, value, when) \
    ((votes[AT(0, when)] == (value)) + (votes[AT(1, when)] == (value)) + (votes[AT(2, when)] == (value)) + BYZANTINE)
#define FREE(who, value) (locked_round[who] == 0 || locked_value[who] == (value))

byte prevotes[CORRECT * ROUNDS];
byte precommits[CORRECT * ROUNDS];
byte round[CORRECT];
byte step[CORRECT];
byte locked_value[CORRECT];
byte locked_round[CORRECT];   /* the lock's round + 1; 0: not locked */
bool decided_a, decided_b;
bool is_a_known;
hidden int votes_of[CORRECT], spare, when;

inline prevote(who, value) {
    is_a_known = is_a_known || value == A;
    prevotes[AT(who, round[who])] = value;
    step[who] = PREVOTE
}

inline prevote_fresh(who, value) {          /* L22 */
    if
#ifdef IGNORE_LOCK
    :: prevote(who, value)
#else
    :: FREE(who, value) -> prevote(who, value)
    :: else -> prevote(who, NIL)
#endif
    fi
}

inline prevote_again(who, value, vr) {      /* L28: a re-proposal of *value* with valid round *vr* */
    if
#ifdef COMPARE_ROUND
    :: locked_round[who] <= round[who] + 1 || locked_value[who] == value -> prevote(who, value)
#else
    :: locked_round[who] <= vr + 1 || locked_value[who] == value -> prevote(who, value)
#endif
    :: else -> prevote(who, NIL)
    fi
}

inline precommit(who, value) {              /* L36 */
#ifndef NEVER_LOCK
    locked_value[who] = value;
    locked_round[who] = round[who] + 1;
#endif
    precommits[AT(who, round[who])] = value;
    step[who] = PRECOMMIT
}

inline go_on(who) {                         /* L55, L65: at any time */
    round[who]++;
    step[who] = PROPOSE;
#ifdef UNLOCK
    locked_round[who] = 0;
    locked_value[who] = NOTHING;
#endif
}

#ifdef PRECOMMIT_UNPROVEN
#define MAY_PRECOMMIT(value, when) (VOTES(prevotes, value, when) >= QUORUM - 1)
#else
#define MAY_PRECOMMIT(value, when) (VOTES(prevotes, value, when) >= QUORUM)
#endif
#ifdef NO_PROOF_OF_LOCK
#define IS_PROVEN(value, when) true
#else
#define IS_PROVEN(value, when) (VOTES(prevotes, value, when) >= QUORUM)
#endif

inline decide() {                           /* L49: by the precommits of any one round */
    decided_a = decided_a || VOTES(precommits, A, last) >= QUORUM;
    decided_b = decided_b || VOTES(precommits, B, last) >= QUORUM;
    assert(!(decided_a && decided_b))
}

#define WORTH(who) \
    (((((round[who] * 3 + step[who]) * 4 + locked_value[who]) * 4 + locked_round[who]) << (4 * ROUNDS)) + votes_of[who])

inline gather(who) {
    votes_of[who] = 0;
    when = 0;
    do
    :: when < ROUNDS ->
        votes_of[who] = votes_of[who] * 16 + prevotes[AT(who, when)] * 4 + precommits[AT(who, when)];
        when++
    :: else -> break
    od
}

inline exchange(one, other) {
    spare = one; one = other; other = spare
}

inline order(who, next) {
    if
    :: WORTH(who) > WORTH(next) ->
        exchange(round[who], round[next]);
        exchange(step[who], step[next]);
        exchange(locked_value[who], locked_value[next]);
        exchange(locked_round[who], locked_round[next]);
        exchange(votes_of[who], votes_of[next]);
        when = 0;
        do
        :: when < ROUNDS ->
            exchange(prevotes[AT(who, when)], prevotes[AT(next, when)]);
            exchange(precommits[AT(who, when)], precommits[AT(next, when)]);
            when++
        :: else -> break
        od
    :: else
    fi
}

inline put_in_order() {
    d_step {
        gather(0); gather(1); gather(2);
        order(0, 1); order(1, 2); order(0, 1);
        votes_of[0] = 0; votes_of[1] = 0; votes_of[2] = 0;
        when = 0; spare = 0
    }
}

active proctype Network() {
    byte who, value, vr, last;
    do
    :: atomic {
        if :: who = 0 :: who = 1 :: who = 2 fi;
        if :: value = A :: is_a_known -> value = B fi;
        if
        :: step[who] == PROPOSE -> prevote_fresh(who, value)
        :: step[who] == PROPOSE -> prevote(who, NIL)                                   /* L57 */
        :: step[who] == PROPOSE && round[who] > 0 ->
            if :: vr = 0 :: ROUNDS > 2 -> vr = 1 fi;
            if
            :: vr < round[who] && IS_PROVEN(value, vr) -> prevote_again(who, value, vr)
            :: else
            fi
        :: step[who] == PREVOTE && MAY_PRECOMMIT(value, round[who]) -> precommit(who, value)
        :: step[who] == PREVOTE -> precommits[AT(who, round[who])] = NIL; step[who] = PRECOMMIT    /* L44, L61 */
        :: round[who] < ROUNDS - 1 -> go_on(who)
#ifdef VOTE_AGAIN
        :: step[who] == PREVOTE -> step[who] = PROPOSE
#endif
#ifdef FORGET_IN_A_CRASH
        :: locked_round[who] = 0; locked_value[who] = NOTHING
#endif
        :: else
        fi;
        last = round[who];
        decide();
        put_in_order();
        who = 0; value = 0; vr = 0; last = 0
    }
    od
}
