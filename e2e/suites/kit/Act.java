package io.ottla.suites;

import org.mockito.Mockito;
import org.mockito.invocation.InvocationOnMock;

import java.util.HashMap;
import java.util.Map;

/** An object of one of Kafka's classes of which some methods are played and no others work. */
final class Act<T> {
    /** Ends a test that asked for more. An Error, since tests retry on exceptions. */
    static final class OutOfReach extends Error {
        OutOfReach(String method) {
            super("asks for " + method + ", which is inside a broker in Kafka's JVM");
        }
    }

    /** How a method is played. */
    interface Play {
        Object answer(InvocationOnMock call) throws Throwable;
    }

    private final Class<T> type;
    private final Map<String, Play> plays = new HashMap<>();

    private Act(Class<T> type) {
        this.type = type;
        on("toString", call -> "stand-in for " + type.getSimpleName());
    }

    static <T> Act<T> as(Class<T> type) {
        return new Act<>(type);
    }

    Act<T> on(String method, Play play) {
        plays.put(method, play);
        return this;
    }

    T object() {
        return Mockito.mock(type, Mockito.withSettings().stubOnly().defaultAnswer(call -> {
            Play play = plays.get(call.getMethod().getName());
            if (play == null) {
                throw outOfReach(call);
            }
            return play.answer(call);
        }));
    }

    static OutOfReach outOfReach(InvocationOnMock call) {
        return new OutOfReach(call.getMethod().getDeclaringClass().getSimpleName() + "."
            + call.getMethod().getName());
    }
}
