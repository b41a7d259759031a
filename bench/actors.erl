%% The Erlang side of bench/actors.py: the same four cases, on processes, gen_server and supervisor.
%% Prints "microseconds-of-processor-time-per-operation [bytes-per-process]".
-module(actors).
-export([main/1, init/1, handle_call/3, handle_cast/2, handle_info/2, start_link/1]).

main([Case, Count]) ->
    logger:set_primary_config(level, none),
    run(Case, list_to_integer(Count)),
    halt(0).

%% Milliseconds of processor time, user and system, of all threads; statistics(runtime) has the user part only.
cpu() ->
    {ok, Threads} = file:list_dir("/proc/self/task"),
    lists:sum([cpu(Thread) || Thread <- Threads]) / 1000000.

cpu(Thread) ->
    {ok, Bin} = file:read_file(["/proc/self/task/", Thread, "/schedstat"]),
    [Nanoseconds | _] = string:split(binary_to_list(Bin), " "),
    list_to_integer(Nanoseconds).

report(Before, N) -> io:format("~.4f~n", [(cpu() - Before) * 1000 / N]).

%% A process that counts, as the actor of the other contenders does.
run("tell", N) ->
    Self = self(),
    Pid = spawn(fun() -> count(0, N, Self) end),
    Before = cpu(),
    tell(Pid, N),
    receive done -> ok end,
    report(Before, N);
run("cast", N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, server, []),
    Before = cpu(),
    cast(Pid, N),
    gen_server:call(Pid, 0, infinity),
    report(Before, N);
run("call", N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, server, []),
    Before = cpu(),
    call(Pid, N),
    report(Before, N);
run("start", N) ->
    {_, Rss} = rss(),
    Before = cpu(),
    Pids = [begin {ok, P} = gen_server:start_link(?MODULE, server, []), P end || _ <- lists:seq(1, N)],
    Time = (cpu() - Before) * 1000 / N,
    {_, After} = rss(),
    io:format("~.4f ~.1f~n", [Time, (After - Rss) / N]),
    length(Pids);
%% A permanent child of a one_for_one supervisor whose init tells itself to crash, 100 times.
%% A fresh supervisor every 100 crashes, since OTP's list of restarts would grow with them.
run("crash", N) ->
    process_flag(trap_exit, true),
    register(bench, self()),
    Before = cpu(),
    crash_rounds(N),
    report(Before, N).

crash_rounds(N) when N =< 0 -> ok;
crash_rounds(N) ->
    Left = counters:new(1, []),
    counters:put(Left, 1, 100),
    {ok, Pid} = supervisor:start_link(?MODULE, {supervisor, Left}),
    receive up -> ok end,
    exit(Pid, shutdown),
    receive {'EXIT', Pid, _} -> ok end,
    crash_rounds(N - 100).

count(N, N, Owner) -> Owner ! done;
count(I, N, Owner) -> receive _ -> count(I + 1, N, Owner) end.

tell(_, 0) -> ok;
tell(Pid, N) -> Pid ! N, tell(Pid, N - 1).

cast(_, 0) -> ok;
cast(Pid, N) -> gen_server:cast(Pid, N), cast(Pid, N - 1).

call(_, 0) -> ok;
call(Pid, N) -> N = gen_server:call(Pid, N), call(Pid, N - 1).

start_link(Left) -> gen_server:start_link({local, crasher}, ?MODULE, {crasher, Left}, []).

init(server) -> {ok, 0};
init({crasher, Left}) ->
    case counters:get(Left, 1) of
        0 -> bench ! up;
        More -> counters:put(Left, 1, More - 1), self() ! boom
    end,
    {ok, 0};
init({supervisor, Left}) ->
    {ok, {#{strategy => one_for_one, intensity => 101, period => 3600},
          [#{id => crasher, start => {?MODULE, start_link, [Left]}}]}}.

handle_call(X, _, N) -> {reply, X, N + 1}.
handle_cast(_, N) -> {noreply, N}.
handle_info(boom, _) -> exit(boom).

rss() ->
    {ok, Bin} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:split(binary_to_list(Bin), " ", all),
    {ok, list_to_integer(Pages) * 4096}.
